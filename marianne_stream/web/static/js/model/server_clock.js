/**
 * Server's clock, estimated from the clock of this machine and the `Date` headers of responses. The
 * browser's clock may be wrong, and the times of jobs are the server's.
 */

/** @typedef {{low: number, high: number}} ClockOffset bounds of server time less local time, in ms. */

export class ServerClock {
  /** @type {ClockOffset | null} */
  #offset = null;
  /** @type {number | null} server time at which the page was last live: NaN for never, null if it is. */
  #lastLiveAt = NaN;

  /**
   * Narrow the offset by the bounds that a response gave.
   *
   * @param {ClockOffset} bounds
   */
  addBounds({ low, high }) {
    const known = this.#offset ?? { low, high };
    const both = { low: Math.max(known.low, low), high: Math.min(known.high, high) };
    // Bounds that exclude each other: one of the clocks was set in between.
    this.#offset = both.low <= both.high ? both : { low, high };
  }

  /**
   * Convert local time to server time; NaN before the first response.
   *
   * @param {number} localMs epoch milliseconds.
   */
  fromLocal(localMs) {
    if (!this.#offset) return NaN;
    const { low, high } = this.#offset;
    const agree = low <= 0 && high >= 0;
    return localMs + (agree ? 0 : (low + high) / 2);
  }

  /** Return the current server time. */
  now() {
    return this.fromLocal(Date.now());
  }

  /** Return the time up to which the state of jobs is known; NaN if the page was never live. */
  knownUntil() {
    return this.#lastLiveAt ?? this.now();
  }

  get isLive() {
    return this.#lastLiveAt === null;
  }

  /**
   * Set whether the page is live.
   *
   * @param {boolean} live
   * @param {number} [since] local time at which it stopped being live.
   */
  setLive(live, since = Date.now()) {
    if (live) this.#lastLiveAt = null;
    else this.#lastLiveAt ??= this.fromLocal(since);
  }
}
