/**
 * Times at which to subscribe again to a job whose stream is over, while the job list says that the
 * job is not. A subscription opens the stream of the whole browser anew, so the attempts become rare.
 */

const FIRST_DELAY_MS = 5_000;
const MAX_DELAY_MS = 300_000;

export class Resubscription {
  /** Status of the job at the last attempt; "" before the first. */
  #status = "";
  #dueAt = 0;
  #delayMs = FIRST_DELAY_MS;

  /**
   * Return true if an attempt is due, which is made then: at once after a change of the status, and
   * each time after twice the delay before.
   *
   * @param {string} status of the job in the list.
   * @param {number} now milliseconds of a clock that is never set back.
   */
  isDue(status, now) {
    // If nothing was due for that long, the stream was live meanwhile.
    const isFirst = status !== this.#status || now > this.#dueAt + MAX_DELAY_MS;
    if (!isFirst && now < this.#dueAt) return false;
    this.#delayMs = isFirst ? FIRST_DELAY_MS : Math.min(2 * this.#delayMs, MAX_DELAY_MS);
    this.#status = status;
    this.#dueAt = now + this.#delayMs;
    return true;
  }

  /** Let the next attempt be due at once: stream and list agree. */
  reset() {
    this.#status = "";
  }
}
