/** Announcements for screen readers, rate-limited. */

const MIN_INTERVAL_MS = 4_000;

export class Announcer {
  #region;
  /** @type {string[]} */
  #pending = [];
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;

  /** @param {HTMLElement} region with `aria-live="polite"`. */
  constructor(region) {
    this.#region = region;
  }

  /**
   * Announce a sentence; sentences that come close together become one announcement.
   *
   * @param {string} sentence
   */
  announce(sentence) {
    this.#pending.push(sentence);
    if (this.#timer === null) this.#flush();
  }

  /**
   * Tell the result of what the reader did, at once.
   *
   * @param {string} sentence
   */
  answer(sentence) {
    // A text that is set again unchanged is not read again.
    const isSame = this.#region.textContent === sentence;
    this.#region.textContent = isSame ? `${sentence}\u00a0` : sentence;
  }

  #flush() {
    const [first, ...others] = this.#pending;
    this.#pending = [];
    if (first === undefined) {
      this.#timer = null;
      return;
    }
    const more = others.length === 1 ? "1 more change" : `${others.length} more changes`;
    this.#region.textContent = others.length ? `${first} And ${more}.` : first;
    this.#timer = setTimeout(() => this.#flush(), MIN_INTERVAL_MS);
  }
}
