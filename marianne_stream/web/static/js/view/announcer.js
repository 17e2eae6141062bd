/** What a screen reader is told: what matters, one sentence at a time, and not too often. */

const LEAST_MS = 4_000;

/** A region that speaks politely. */
export class Announcer {
  #region;
  #waiting = [];
  #timer = null;

  /** @param {HTMLElement} region with `aria-live="polite"`. */
  constructor(region) {
    this.#region = region;
  }

  /** Says a sentence; many at once become one. */
  say(sentence) {
    this.#waiting.push(sentence);
    if (this.#timer === null) this.#speak();
  }

  #speak() {
    const [first, ...others] = this.#waiting;
    this.#waiting = [];
    if (first === undefined) {
      this.#timer = null;
      return;
    }
    this.#region.textContent = others.length
      ? `${first} And ${others.length} more changes.`
      : first;
    this.#timer = setTimeout(() => this.#speak(), LEAST_MS);
  }
}
