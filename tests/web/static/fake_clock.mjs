/** Clock and timers of one test, which stand still until the test moves them. */

/** Longest step: timers that others have set run in their order. */
const STEP_MS = 10;

export class FakeClock {
  #timers;

  /** @param {import("node:test").MockTracker} mock of the test, which ends it with the test. */
  constructor(mock) {
    this.#timers = mock.timers;
    const startMs = performance.now();
    const start = Date.now();
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: start });
    mock.method(performance, "now", () => startMs + Date.now() - start);
  }

  /**
   * Move on, and let all that is due then happen.
   *
   * @param {number} durationMs
   */
  async advance(durationMs) {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= STEP_MS) {
      this.#timers.tick(Math.min(STEP_MS, leftMs));
      await settle();
    }
    await settle();
  }
}

/** Let responses and events that are under way arrive. */
async function settle() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
