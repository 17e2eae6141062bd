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
  /** @type {object | null} identifies the lock that is held. */
  #held = null;
  #isTakingOver = false;
  /** Ends the requests that wait for a lock. */
  #abort = new AbortController();

  /** @param {(isHeld: boolean) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Wait for a slot; it is held until the window is gone, or another window takes it over. */
  request() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    for (let number = 0; number < SLOTS; number += 1) this.#hold(lockName(number), { signal });
  }

  /** Take over the slot of another window. */
  async takeOver() {
    if (this.#held || this.#isTakingOver) return;
    this.#isTakingOver = true;
    await this.#hold(lockName(Math.floor(Math.random() * SLOTS)), { steal: true });
  }

  /**
   * Request a lock, and hold it if it is granted.
   *
   * @param {string} name
   * @param {LockOptions} options
   */
  async #hold(name, options) {
    const lock = {};
    try {
      await navigator.locks.request(name, options, () => {
        this.#isTakingOver = false;
        // Two slots can be granted at once: the second is released.
        if (this.#held) return undefined;
        this.#held = lock;
        this.#abort.abort();
        this.#onChange(true);
        return new Promise(() => {});
      });
    } catch {
      // An AbortError: another slot was granted instead, or another window has taken this one over.
      if (this.#held !== lock) return;
      this.#held = null;
      this.#onChange(false);
      this.request();
    }
  }
}
