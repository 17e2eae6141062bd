/** Elements of log rows, made when they are first drawn and kept while they are near the viewport. */

import { isEntryHead } from "../model/log_entries.js";
import { dayHeading, lineTime, MAX_LOOKBACK_ROWS } from "../model/log_line_time.js";
import { makeRow } from "./log_row.js";

/**
 * @typedef {object} DrawnRow
 * @property {import("../model/log_rows.js").LogRow} row
 * @property {HTMLElement} element
 * @property {number} height in pixels; 0 before it is measured.
 * @property {HTMLElement | null} toggle of the fields of a JSON line, of an entry, or of a long line.
 * @property {NodeListOf<HTMLAnchorElement>} links
 * @property {number} lineCount of the entry that begins with the row; 0 for none.
 */

/**
 * @typedef {object} RowElementsOptions
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {(serial: number, extend: boolean) => void} onSelect the number of a line was clicked.
 * @property {() => void} onToggle an element was dropped, to be drawn anew.
 * @property {(serial: number) => void} onToggleEntry an entry is to be folded or opened.
 * @property {import("./row_metrics.js").RowMetrics} metrics
 */

/** Number of elements that are kept, and of rows beside the viewport among them. */
const MAX_ELEMENTS = 600;
const KEPT_ROWS = 150;

const TOGGLES = ".fields-toggle, .entry-toggle, .whole-toggle";

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
    const known = this.#rows.get(serial);
    const row = this.#window.getRow(serial);
    if (known && known.row === row && known.lineCount === headLineCount(row)) return known;
    const drawn = this.#make(serial);
    this.#rows.set(serial, drawn);
    return drawn;
  }

  /**
   * Return the element of a row, marked as selected or current.
   *
   * @param {number} serial
   * @param {{isSelected: boolean, isCurrent: boolean}} marks
   */
  mark(serial, { isSelected, isCurrent }) {
    const { element, links } = this.get(serial);
    element.classList.toggle("selected", isSelected);
    element.classList.toggle("current", isCurrent);
    // Tab reaches the links of the current line.
    for (const link of links) link.tabIndex = isCurrent ? 0 : -1;
    return element;
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
   * @param {number[]} pinned serials of rows to keep.
   */
  dropFar([first, last], pinned) {
    if (this.#rows.size < MAX_ELEMENTS) return;
    for (const serial of this.#rows.keys()) {
      if (serial >= first - KEPT_ROWS && serial <= last + KEPT_ROWS) continue;
      if (pinned.includes(serial)) continue;
      this.#rows.delete(serial);
      const row = this.#window.getRow(serial);
      if (row) row.parsed = undefined;
    }
  }

  /**
   * Drop the element of a row, to be drawn anew.
   *
   * @param {number} serial
   */
  drop(serial) {
    this.#rows.delete(serial);
  }

  /**
   * Give the elements the new serials of their rows.
   *
   * @param {number[]} insertedAt serials that rows had before which others were added.
   * @param {(serial: number) => number} moved returns the new serial of a row.
   */
  move(insertedAt, moved) {
    // Rows of the same day may be above them now.
    for (const serial of insertedAt) {
      if (this.#rows.get(serial)?.element.querySelector(".day")) this.#rows.delete(serial);
    }
    this.#rows = new Map([...this.#rows].map(([serial, drawn]) => [moved(serial), drawn]));
    for (const [serial, { element }] of this.#rows) element.dataset.serial = String(serial);
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

  /**
   * @param {number} serial
   * @returns {DrawnRow}
   */
  #make(serial) {
    const { times, metrics, onSelect, onToggle, onToggleEntry } = this.#options;
    const index = serial - this.#window.firstSerial;
    const row = this.#window.rows[index];
    const ownSerial = () => Number(element.dataset.serial);
    const element = makeRow(row, {
      pattern: this.pattern,
      times,
      day: dayHeading((other) => this.#dayAt(other), index, times.today),
      isLong: metrics.isLong(row),
      isEntryOpen: row.entry?.isOpen ?? !metrics.areEntriesFolded,
      onNumberClick: (event) => onSelect(ownSerial(), event.shiftKey),
      onToggle: () => {
        this.#rows.delete(ownSerial());
        onToggle();
      },
      onToggleEntry: () => onToggleEntry(ownSerial()),
    });
    element.dataset.serial = String(serial);
    element.classList.toggle("apart", this.#isApart(index));
    element.classList.toggle("continued", row.entry !== undefined && row.entry.head !== row);
    return {
      row,
      element,
      height: 0,
      toggle: element.querySelector(TOGGLES),
      links: element.querySelectorAll("a.link"),
      lineCount: headLineCount(row),
    };
  }

  /**
   * Return true if lines are left out above a row, which a search with context does.
   *
   * @param {number} index
   */
  #isApart(index) {
    const [before, row] = [this.#window.rows[index - 1], this.#window.rows[index]];
    if (before?.kind !== "line" || (row.isMatch !== false && before.isMatch !== false)) {
      return false;
    }
    return row.number !== before.number + 1;
  }

  /** @param {number} index */
  #dayAt(index) {
    return lineTime(this.#window.rows[index], this.#options.times).day;
  }
}

/** @param {import("../model/log_rows.js").LogRow} row */
function headLineCount(row) {
  return isEntryHead(row) ? (row.entry?.lineCount ?? 0) : 0;
}
