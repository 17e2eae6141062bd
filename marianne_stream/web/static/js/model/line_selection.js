/** Selection of log lines: from an anchor to a focus, both serials of a log window. */

export class LineSelection {
  #window;
  #anchor = NaN;
  #focus = NaN;

  /** @param {import("./log_window.js").LogWindow} window */
  constructor(window) {
    this.#window = window;
  }

  /**
   * Select a line, or extend the selection from the anchor to it.
   *
   * @param {number} serial
   * @param {{extend?: boolean}} [options]
   */
  select(serial, { extend = false } = {}) {
    if (!extend || !this.range) this.#anchor = serial;
    this.#focus = serial;
  }

  /**
   * Keep the selected lines after a merge.
   *
   * @param {(serial: number) => number} moved returns the new serial of a row.
   */
  move(moved) {
    this.#anchor = moved(this.#anchor);
    this.#focus = moved(this.#focus);
  }

  clear() {
    this.#anchor = this.#focus = NaN;
  }

  /** First and last selected serial; null if nothing is selected or an end has left the window. */
  get range() {
    const first = Math.min(this.#anchor, this.#focus);
    const last = Math.max(this.#anchor, this.#focus);
    return this.#window.has(first) && this.#window.has(last) ? { first, last } : null;
  }

  /** Selected rows that are lines. */
  get lines() {
    const range = this.range;
    return range ? this.#window.linesBetween(range.first, range.last) : [];
  }
}
