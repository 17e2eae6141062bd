/** Elements of log rows, made when they are first drawn and kept while they are near the viewport. */

import { isEntryHead } from "../model/log_entries.js";
import { dayHeading, lineTime, MAX_LOOKBACK_ROWS } from "../model/log_line_time.js";
import { h } from "./dom.js";
import { makeRow } from "./log_row.js";

/** @typedef {import("../model/log_rows.js").LogRow} Row */

/**
 * @typedef {object} DrawnRow
 * @property {Row} row
 * @property {HTMLElement} element
 * @property {number} height in pixels; 0 before it is measured.
 * @property {NodeListOf<HTMLElement>} controls its toggles and links.
 * @property {number} lineCount of the entry that begins with the row; 0 for none.
 * @property {boolean | undefined} isMatch of the row.
 * @property {boolean} [isPending] the element only takes the room of the row.
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

/**
 * Cost of the rows that are made in a frame, in characters, and that of an element: lines may be long,
 * and a search may mark each letter.
 */
const MAX_FRAME_COST = 64 * 1024;
const ELEMENT_COST = 50;

const TOGGLES = ".fields-toggle, .entry-toggle, .whole-toggle:not([hidden])";

export class RowElements {
  #window;
  #options;
  /** @type {Map<number, DrawnRow>} by serial. */
  #rows = new Map();
  /** @type {RegExp | null} text to highlight in rows that are made from now on. */
  pattern = null;
  /** True if lines are left out between matches. */
  hasContext = false;
  /** True if rows are missing since too much was to be drawn in a frame. */
  hasPending = false;
  #frameCost = 0;

  /**
   * @param {import("../model/log_window.js").LogWindow} window
   * @param {RowElementsOptions} options
   */
  constructor(window, options) {
    this.#window = window;
    this.#options = options;
  }

  /** Begin with a frame, in which a limited part of the rows is drawn. */
  startFrame() {
    this.#frameCost = 0;
    this.hasPending = false;
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
    if (known && row && isSame(known, row)) return known;
    const chars = row?.text.length ?? 0;
    const isFull = this.#frameCost > 0 && this.#frameCost + chars > MAX_FRAME_COST;
    if (isFull) return this.#makePending(serial);
    const drawn = this.#make(serial);
    this.#frameCost += chars + ELEMENT_COST * drawn.element.getElementsByTagName("*").length;
    this.#rows.set(serial, drawn);
    return drawn;
  }

  /**
   * Return the elements of rows, marked as selected, current or pinned. Hidden rows have none.
   *
   * @param {number} first serial.
   * @param {number} last serial.
   * @param {object} marks
   * @param {number[]} marks.pinned serials of other rows to return, in order.
   * @param {{first: number, last: number} | null} marks.selected
   * @param {number} marks.current
   */
  getMarked(first, last, { pinned, selected, current }) {
    const serials = [
      ...pinned.filter((serial) => serial < first),
      ...Array.from({ length: last - first + 1 }, (_, index) => first + index),
      ...pinned.filter((serial) => serial > last),
    ];
    return serials.flatMap((serial) => {
      const row = this.#window.getRow(serial);
      if (!row || this.#options.metrics.isHidden(row)) return [];
      const { element, controls } = this.get(serial);
      const isSelected = selected !== null && serial >= selected.first && serial <= selected.last;
      element.classList.toggle("selected", isSelected);
      element.classList.toggle("current", serial === current);
      element.classList.toggle("pinned", serial < first || serial > last);
      // Tab reaches the toggles and links of the current line.
      for (const control of controls) control.tabIndex = serial === current ? 0 : -1;
      return [element];
    });
  }

  /**
   * Measure a drawn row, and offer to open it if not all of it is shown.
   *
   * @param {DrawnRow} drawn
   */
  measure(drawn) {
    const { element } = drawn;
    if (drawn.height) return drawn.height;
    const [text, toggle] = [findText(element), findWholeToggle(element)];
    if (toggle?.hidden && text && text.scrollHeight > text.clientHeight + 1) toggle.hidden = false;
    drawn.height = element.getBoundingClientRect().height;
    return drawn.height;
  }

  /**
   * Return the button of a row that opens its fields, its entry, or the rest of it; null for none.
   *
   * @param {number} serial
   * @returns {HTMLElement | null}
   */
  findToggle(serial) {
    return this.get(serial).element.querySelector(TOGGLES);
  }

  /**
   * Find the first match of the search in a drawn row, opening a long line if the match is behind
   * what is shown of it.
   *
   * @param {number} serial
   * @param {HTMLElement} viewport
   * @returns {{isOpened: boolean, distance: number}} distance of the match from the middle of the
   *   viewport; 0 if it is in the viewport, or if there is none.
   */
  findMatch(serial, viewport) {
    if (!this.pattern || !this.#window.has(serial)) return { isOpened: false, distance: 0 };
    const { element } = this.get(serial);
    const [text, toggle] = [findText(element), findWholeToggle(element)];
    const mark = text?.querySelector("mark")?.getBoundingClientRect();
    const isShown = mark !== undefined && mark.bottom <= bottomOf(text) + 1;
    const canOpen = toggle?.getAttribute("aria-expanded") === "false" && !toggle.hidden;
    if (!isShown && canOpen) toggle.click();
    const view = viewport.getBoundingClientRect();
    const isInView = !isShown || (mark.top >= view.top && mark.bottom <= view.bottom);
    const distance = isInView ? 0 : mark.top - (view.top + view.bottom) / 2;
    return { isOpened: !isShown && canOpen, distance };
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
    this.#rows = new Map([...this.#rows].map(([serial, drawn]) => [moved(serial), drawn]));
    for (const [serial, { element }] of this.#rows) element.dataset.serial = String(serial);
    // Rows of the same day may be above them now.
    for (const serial of insertedAt.map(moved)) {
      if (this.#rows.get(serial)?.element.querySelector(".day")) this.#rows.delete(serial);
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
      mayBeLong: metrics.mayBeLong(row),
      isEntryOpen: row.entry?.isOpen ?? !metrics.areEntriesFolded,
      onNumberClick: (event) => onSelect(ownSerial(), event.shiftKey),
      onToggle: () =>
        this.#keepFocus(ownSerial(), () => {
          this.#rows.delete(ownSerial());
          onToggle();
        }),
      onToggleEntry: () => this.#keepFocus(ownSerial(), () => onToggleEntry(ownSerial())),
    });
    element.dataset.serial = String(serial);
    element.classList.toggle("apart", this.#isApart(index));
    element.classList.toggle("continued", row.entry !== undefined && row.entry.head !== row);
    return {
      row,
      element,
      height: 0,
      controls: findControls(element),
      lineCount: headLineCount(row),
      isMatch: row.isMatch,
    };
  }

  /**
   * Make an element that takes the room of a row until the next frame.
   *
   * @param {number} serial
   * @returns {DrawnRow}
   */
  #makePending(serial) {
    const row = /** @type {Row} */ (this.#window.getRow(serial));
    const height = this.#options.metrics.estimate(row);
    const element = h("div.row", { "data-serial": serial });
    element.style.height = `${height}px`;
    this.hasPending = true;
    const controls = findControls(element);
    return { row, element, height, controls, lineCount: 0, isMatch: undefined, isPending: true };
  }

  /**
   * Change a row, and focus the same button of its new element in the next frame, after it was drawn.
   *
   * @param {number} serial
   * @param {() => void} change
   */
  #keepFocus(serial, change) {
    const focused = document.activeElement;
    const hasFocus = this.#rows.get(serial)?.element.contains(focused);
    change();
    if (!focused || !hasFocus) return;
    const selector = `.${focused.classList[0]}`;
    requestAnimationFrame(() => {
      const button = this.#rows.get(serial)?.element.querySelector(selector);
      if (button instanceof HTMLElement) button.focus({ preventScroll: true });
    });
  }

  /**
   * Return true if lines are left out above a row, which a search with context does.
   *
   * @param {number} index
   */
  #isApart(index) {
    const [before, row] = [this.#window.rows[index - 1], this.#window.rows[index]];
    if (!this.hasContext || before?.kind !== "line" || row.kind !== "line") return false;
    return row.number !== before.number + 1;
  }

  /**
   * Return the day of a row; that of its entry for a line without a time of its own.
   *
   * @param {number} index
   */
  #dayAt(index) {
    const row = this.#window.rows[index];
    return lineTime(row.entry?.head ?? row, this.#options.times).day;
  }
}

/**
 * Return true if a drawn row is as it would be drawn now.
 *
 * @param {DrawnRow} drawn
 * @param {Row} row
 */
function isSame(drawn, row) {
  const { lineCount, isMatch } = drawn;
  return drawn.row === row && lineCount === headLineCount(row) && isMatch === row.isMatch;
}

/**
 * @param {HTMLElement} element of a row.
 * @returns {HTMLElement | null}
 */
function findText(element) {
  return element.querySelector(".text");
}

/**
 * @param {HTMLElement} element of a row.
 * @returns {HTMLElement | null}
 */
function findWholeToggle(element) {
  return element.querySelector(".whole-toggle");
}

/** @param {HTMLElement | null} element */
function bottomOf(element) {
  return element?.getBoundingClientRect().bottom ?? 0;
}

/** @param {Row} row */
function headLineCount(row) {
  return isEntryHead(row) ? (row.entry?.lineCount ?? 0) : 0;
}

/**
 * @param {HTMLElement} element of a row.
 * @returns {NodeListOf<HTMLElement>}
 */
function findControls(element) {
  return element.querySelectorAll(".fields-toggle, .entry-toggle, .whole-toggle, a.link");
}
