/** Metrics of log rows: line height and characters per line, from which heights are estimated. */

import { isFolded } from "../model/log_entries.js";
import { MAX_SHOWN_CHARS } from "../model/log_line.js";
import { h, setAttribute } from "./dom.js";

/** @typedef {import("../model/log_rows.js").LogRow} Row */

/** Height of a marker beyond that of its text. */
const MARKER_PADDING_PX = 10;

/** Number of characters in the text that is measured. */
const PROBE_CHARS = 20;

/** Number of rows of text from which a line is shown in part. */
const MAX_TEXT_ROWS = 10;

/** Number of columns of a tab, the widest character. */
const MAX_COLUMNS = 4;

export class RowMetrics {
  lineHeight = 18;
  #columns = 100;
  /** Number of rows of text above that of a line: on a phone, its time is there. */
  #rowsAbove = 0;
  /** True if long lines are wrapped. */
  wrap = true;
  /** True if entries are folded unless the reader has opened them. */
  areEntriesFolded = false;

  /**
   * Return the height of a row: as it was last drawn in this layout, or an estimate. The font is
   * monospaced. A row in a folded entry has none.
   *
   * @param {Row} row
   */
  estimate(row) {
    if (this.isHidden(row)) return 0;
    if (row.height && row.heightLayout === this.#layoutKey(row)) return row.height;
    if (row.kind !== "line") return this.lineHeight + MARKER_PADDING_PX;
    if (!this.wrap) return (this.#rowsAbove + 1) * this.lineHeight;
    const rows = Math.max(1, Math.ceil(row.text.length / this.#columns));
    const shown = row.isWhole ? rows : Math.min(rows, MAX_TEXT_ROWS + 1);
    return (this.#rowsAbove + shown) * this.lineHeight;
  }

  /**
   * Return true if a row is in a folded entry.
   *
   * @param {Row} row
   */
  isHidden(row) {
    return isFolded(row, this.areEntriesFolded);
  }

  /**
   * Return true if a line may take more rows than are shown unless the reader opens it: a character
   * takes up to `MAX_COLUMNS` columns, and a word that is wrapped leaves up to half of a row empty.
   *
   * @param {Row} row
   */
  mayBeLong(row) {
    const chars = this.wrap ? (MAX_TEXT_ROWS * this.#columns) / MAX_COLUMNS : MAX_SHOWN_CHARS;
    return row.kind === "line" && row.text.length > chars;
  }

  /**
   * Keep the height of a drawn row, for this layout.
   *
   * @param {Row} row
   * @param {number} height
   */
  remember(row, height) {
    row.height = height;
    row.heightLayout = this.#layoutKey(row);
  }

  /**
   * Measure a line in the page.
   *
   * @param {HTMLElement} container of rows.
   */
  measure(container) {
    const letters = h("span", {}, "0".repeat(PROBE_CHARS));
    const text = h("span.text", {}, letters);
    const probe = h("div.row.line.probe", {}, h("time", {}, "0"), text);
    container.append(probe);
    container.style.setProperty("--text-rows", String(MAX_TEXT_ROWS));
    this.lineHeight = Number.parseFloat(getComputedStyle(probe).lineHeight) || this.lineHeight;
    const charWidth = letters.getBoundingClientRect().width / PROBE_CHARS || 7;
    this.#columns = Math.max(10, Math.floor(text.getBoundingClientRect().width / charWidth));
    this.#rowsAbove = Math.round(probe.getBoundingClientRect().height / this.lineHeight) - 1;
    probe.remove();
  }

  /**
   * Show the columns that a window uses.
   *
   * @param {HTMLElement} element
   * @param {import("../model/log_window.js").LogWindow} window
   * @returns {boolean} true if these are others now.
   */
  showColumns(element, { hasTimes, hasLevels, hasEntries }) {
    const used = [hasTimes && "times", hasLevels && "levels", hasEntries && "entries"];
    const columns = used.filter(Boolean).join(" ");
    const haveChanged = element.dataset.columns !== columns;
    setAttribute(element, "data-columns", columns);
    return haveChanged;
  }

  /** @param {Row} row */
  #layoutKey(row) {
    return `${this.wrap ? this.#columns : 0} ${this.#rowsAbove} ${Boolean(row.isOpen)} ${Boolean(row.isWhole)}`;
  }
}
