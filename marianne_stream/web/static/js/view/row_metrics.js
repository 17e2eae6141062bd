/** Metrics of log rows: line height and characters per line, from which heights are estimated. */

import { isFolded } from "../model/log_entries.js";
import { MAX_SHOWN_CHARS } from "../model/log_line.js";
import { isWiderThan } from "../model/text_width.js";
import { h } from "./dom.js";

/** @typedef {import("../model/log_rows.js").LogRow} Row */

/** Height of a marker beyond that of its text. */
const MARKER_PADDING_PX = 10;

/** Number of characters in the text that is measured. */
const PROBE_CHARS = 20;

/** Number of rows of text from which a line is shown in part. */
export const MAX_TEXT_ROWS = 10;

export class RowMetrics {
  lineHeight = 18;
  #columns = 100;
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
    if (!this.wrap) return this.lineHeight;
    if (this.isLong(row) && !row.isWhole) return (MAX_TEXT_ROWS + 1) * this.lineHeight;
    const chars = Math.min(row.text.length, 8_000);
    return Math.max(1, Math.ceil(chars / this.#columns)) * this.lineHeight;
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
   * Return true if a line is so long that only its beginning is shown unless the reader opens it.
   *
   * @param {Row} row
   */
  isLong(row) {
    const chars = this.wrap ? MAX_TEXT_ROWS * this.#columns : MAX_SHOWN_CHARS;
    return row.kind === "line" && isWiderThan(row.text, chars);
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
    const probe = h("div.row.line.probe", {}, text);
    container.append(probe);
    this.lineHeight = Number.parseFloat(getComputedStyle(probe).lineHeight) || this.lineHeight;
    const charWidth = letters.getBoundingClientRect().width / PROBE_CHARS || 7;
    this.#columns = Math.max(10, Math.floor(text.getBoundingClientRect().width / charWidth));
    probe.remove();
  }

  /** @param {Row} row */
  #layoutKey(row) {
    return `${this.wrap ? this.#columns : 0} ${Boolean(row.isOpen)} ${Boolean(row.isWhole)}`;
  }
}
