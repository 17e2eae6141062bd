/** The lines that one has chosen: from an anchor to where one went on to. Serials of a log window. */

export class LogChoice {
  #window;
  #anchor = -1;
  #other = -1;

  /** @param {import("./log_window.js").LogWindow} window */
  constructor(window) {
    this.#window = window;
  }

  /** Chooses a line, or all from the anchor to it. */
  choose(serial, { extend = false } = {}) {
    if (!extend || !this.range) this.#anchor = serial;
    this.#other = serial;
  }

  /** Chooses none. */
  clear() {
    this.#anchor = this.#other = -1;
  }

  /** The serials of the first and the last; null where none is chosen, or one of them is gone. */
  get range() {
    const range = {
      from: Math.min(this.#anchor, this.#other),
      to: Math.max(this.#anchor, this.#other),
    };
    return this.#window.holds(range.from) && this.#window.holds(range.to) ? range : null;
  }

  /** The lines that are chosen. */
  get lines() {
    const range = this.range;
    if (!range) return [];
    const { first, rows } = this.#window;
    const chosen = rows.slice(range.from - first, range.to - first + 1);
    return chosen.filter(({ kind }) => kind === "line");
  }
}
