/**
 * Connection slot of a window whose browser has no SharedWorker. Browsers open six HTTP/1.1
 * connections to a host: four windows have a stream, and two connections are left for other requests.
 * A slot is a Web Lock.
 */

const SLOTS = 4;

/** @param {number} number */
const lockName = (number) => `marianne-stream connection ${number}`;

export class ConnectionSlot {
  #onChange;
  #isHeld = false;

  /** @param {(isHeld: boolean) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Wait for a slot; it is held until the window is gone, or another window takes it over. */
  request() {
    const abort = new AbortController();
    const { signal } = abort;
    for (let number = 0; number < SLOTS; number += 1) {
      this.#hold((use) => {
        return navigator.locks.request(lockName(number), { signal }, () => {
          // Two slots can be granted at once: the second is released.
          if (this.#isHeld) return undefined;
          abort.abort();
          return use();
        });
      });
    }
  }

  /** Take over the slot of another window. */
  takeOver() {
    const number = Math.floor(Math.random() * SLOTS);
    this.#hold((use) => navigator.locks.request(lockName(number), { steal: true }, use));
  }

  /** @param {(use: () => Promise<void>) => Promise<void>} request of a lock. */
  async #hold(request) {
    let wasGranted = false;
    try {
      await request(() => {
        wasGranted = true;
        this.#setHeld(true);
        return new Promise(() => {});
      });
    } catch {
      // An AbortError: another slot was granted instead, or another window has taken this one over.
      if (!wasGranted) return;
      this.#setHeld(false);
      this.request();
    }
  }

  /** @param {boolean} isHeld */
  #setHeld(isHeld) {
    this.#isHeld = isHeld;
    this.#onChange(isHeld);
  }
}
