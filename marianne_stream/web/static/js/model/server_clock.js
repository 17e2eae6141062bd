/**
 * The server's time, from this machine's clock and how far the two are apart. A browser's clock may be
 * wrong; times of jobs are the server's.
 */

/** The server's clock; it also knows until when jobs are known. */
export class ServerClock {
  #bounds = null;
  /** While the page is not live: when it was last, NaN for never; null while it is live. */
  #lastLive = NaN;

  /** Takes the bounds that an answer gave: together they become narrower. */
  take({ low, high }) {
    const known = this.#bounds ?? { low, high };
    const both = { low: Math.max(known.low, low), high: Math.min(known.high, high) };
    // Bounds that exclude each other: one of the clocks was set in between.
    this.#bounds = both.low <= both.high ? both : { low, high };
  }

  /** The server's time at a time of this machine's; NaN before the first answer. */
  at(localMs) {
    if (!this.#bounds) return NaN;
    const { low, high } = this.#bounds;
    const agree = low <= 0 && high >= 0;
    return localMs + (agree ? 0 : (low + high) / 2);
  }

  /** The server's time now. */
  now() {
    return this.at(Date.now());
  }

  /** Until when jobs are known: now, or when the page was last live; NaN if it never was. */
  knownUntil() {
    return this.#lastLive ?? this.now();
  }

  get isLive() {
    return this.#lastLive === null;
  }

  /**
   * Takes whether the page is live.
   *
   * @param {boolean} live
   * @param {number} since when it is not, by this machine's clock.
   */
  setLive(live, since = Date.now()) {
    if (live) this.#lastLive = null;
    else this.#lastLive ??= this.at(since);
  }
}
