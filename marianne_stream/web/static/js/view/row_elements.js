/** Elements of log rows, made when they are first drawn and kept while they are near the viewport. */

import { dayHeading, lineTime, MAX_LOOKBACK_ROWS } from "../model/log_line_time.js";
import { makeRow } from "./log_row.js";

/**
 * @typedef {object} DrawnRow
 * @property {HTMLElement} element
 * @property {number} height in pixels; 0 before it is measured.
 * @property {HTMLElement | null} toggle of the fields of a JSON line.
 */

/**
 * @typedef {object} RowElementsOptions
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {(serial: number, extend: boolean) => void} onSelect the number of a line was clicked.
 * @property {() => void} onToggle an element was dropped, to be drawn anew.
 */

/** Number of elements that are kept, and of rows beside the viewport among them. */
const MAX_ELEMENTS = 600;
const KEPT_ROWS = 150;

export class RowElements {
  #window;
  #options;
  /** @type {Map<number, DrawnRow>} by serial. */
  #rows = new Map();
  /** @type {RegExp | null} text to highlight in rows that are made from now on. */
  pattern = null;

  /**
   * @param {import("../model/log_window.js").LogWindow} window
   * @param {RowElementsOptions} options
   */
  constructor(window, options) {
    this.#window = window;
    this.#options = options;
  }

  /**
   * Return the drawn row with a serial, making it if necessary.
   *
   * @param {number} serial
   * @returns {DrawnRow}
   */
  get(serial) {
    const drawn = this.#rows.get(serial) ?? this.#make(serial);
    this.#rows.set(serial, drawn);
    return drawn;
  }

  /**
   * Return the height of a drawn row; 0 if it is not drawn.
   *
   * @param {number} serial
   */
  drawnHeight(serial) {
    return this.#rows.get(serial)?.height ?? 0;
  }

  /** Drop all elements. */
  clear() {
    this.#rows.clear();
  }

  /**
   * Drop elements far from the viewport, if there are many.
   *
   * @param {number[]} range first and last serial in the viewport.
   */
  dropFar([first, last]) {
    if (this.#rows.size < MAX_ELEMENTS) return;
    for (const serial of this.#rows.keys()) {
      if (serial >= first - KEPT_ROWS && serial <= last + KEPT_ROWS) continue;
      this.#rows.delete(serial);
      const row = this.#window.getRow(serial);
      if (row) row.parsed = undefined;
    }
  }

  /**
   * Drop the first row with a date, to draw it anew: rows before it may have the same date now.
   *
   * @param {number} from index of a row.
   */
  dropFirstDay(from) {
    const end = Math.min(this.#window.rows.length, from + MAX_LOOKBACK_ROWS);
    for (let index = from; index < end; index += 1) {
      this.#rows.delete(this.#window.firstSerial + index);
      if (this.#dayAt(index)) return;
    }
  }

  /** @param {number} serial */
  #make(serial) {
    const { times, onSelect, onToggle } = this.#options;
    const index = serial - this.#window.firstSerial;
    const element = makeRow(this.#window.rows[index], {
      pattern: this.pattern,
      times,
      day: dayHeading((other) => this.#dayAt(other), index, times.today),
      onNumberClick: (event) => onSelect(serial, event.shiftKey),
      onToggle: () => {
        this.#rows.delete(serial);
        onToggle();
      },
    });
    const toggle = /** @type {HTMLElement | null} */ (element.querySelector(".fields-toggle"));
    return { element, height: 0, toggle };
  }

  /** @param {number} index */
  #dayAt(index) {
    return lineTime(this.#window.rows[index], this.#options.times).day;
  }
}
