/** Layout of log rows: their heights, drawn or estimated, by their index in the window. */

import { RowHeights } from "../model/row_heights.js";

/** @typedef {import("../model/log_window.js").LogWindow} LogWindow */

export class LogRowLayout {
  #window;
  #metrics;
  #elements;
  #heights = new RowHeights();
  /** Serial of the row with index 0. */
  firstSerial;

  /**
   * @param {LogWindow} window
   * @param {import("./row_metrics.js").RowMetrics} metrics
   * @param {import("./row_elements.js").RowElements} elements
   */
  constructor(window, metrics, elements) {
    this.#window = window;
    this.#metrics = metrics;
    this.#elements = elements;
    this.firstSerial = window.firstSerial;
  }

  get length() {
    return this.#heights.length;
  }

  /** Height of all rows. */
  get total() {
    return this.#heights.total;
  }

  /**
   * Return the offset at which a row begins.
   *
   * @param {number} index
   */
  offset(index) {
    return this.#heights.offset(index);
  }

  /** @param {number} index */
  height(index) {
    return this.#heights.get(index) ?? 0;
  }

  /**
   * Return the index of the row at an offset; -1 if there are no rows.
   *
   * @param {number} offset
   */
  indexAt(offset) {
    return this.#heights.length ? this.#heights.indexAt(offset) : -1;
  }

  /** Estimate all heights anew. */
  reset() {
    this.firstSerial = this.#window.firstSerial;
    this.#heights.reset(this.#window.rows.map((row) => this.#metrics.estimate(row)));
  }

  /** Take all rows of the window anew, and keep the heights of those that are drawn. */
  rebuild() {
    this.firstSerial = this.#window.firstSerial;
    const heights = this.#window.rows.map((row, index) => {
      if (this.#metrics.isHidden(row)) return 0;
      const known = this.#elements.drawnHeight(this.firstSerial + index);
      return known || this.#metrics.estimate(row);
    });
    this.#heights.reset(heights);
  }

  /**
   * Take rows that were added at any place.
   *
   * @param {number} top of the viewport.
   * @param {(serial: number) => number} moved returns the new serial of a row.
   * @returns {number} top at which the same rows are in the viewport.
   */
  insert(top, moved) {
    const index = Math.max(0, this.indexAt(top));
    const hiddenHeight = top - this.offset(index);
    const serial = moved(this.firstSerial + index);
    this.rebuild();
    return this.offset(serial - this.firstSerial) + hiddenHeight;
  }

  /**
   * Take rows that were added at the end.
   *
   * @param {number} added
   */
  push(added) {
    const { rows } = this.#window;
    for (const row of rows.slice(rows.length - added)) {
      this.#heights.push(this.#metrics.estimate(row));
    }
  }

  /**
   * Measure drawn rows.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} top of the viewport.
   * @returns {{above: number} | null} growth of the rows above the viewport; null if no height changed.
   */
  measure(from, to, top) {
    let above = 0;
    let hasChanged = false;
    const firstVisible = this.#heights.indexAt(top);
    for (let index = from; index <= to; index += 1) {
      const row = this.#window.rows[index];
      if (this.#metrics.isHidden(row)) continue;
      const drawn = this.#elements.get(this.firstSerial + index);
      if (drawn.isPending) continue;
      const height = this.#elements.measure(drawn);
      this.#metrics.remember(row, height);
      const growth = this.#heights.set(index, height);
      hasChanged ||= growth !== 0;
      if (index < firstVisible) above += growth;
    }
    return hasChanged ? { above } : null;
  }

  /**
   * Return the serial of a row, or of the next one that is shown in a direction.
   *
   * @param {number} serial
   * @param {number} by
   */
  skipHidden(serial, by) {
    let at = serial;
    while (this.#isHidden(at)) at += by;
    if (this.#window.has(at)) return at;
    // The last entry is folded: stay at its first line.
    return this.findEntryHead(serial);
  }

  /**
   * Return the serial of the first line of a row's entry.
   *
   * @param {number} serial
   */
  findEntryHead(serial) {
    const entry = this.#window.getRow(serial)?.entry;
    if (!entry) return serial;
    const { rows, firstSerial } = this.#window;
    return firstSerial + rows.lastIndexOf(entry.head, serial - firstSerial);
  }

  /** @param {number} serial */
  #isHidden(serial) {
    const row = this.#window.getRow(serial);
    return row !== undefined && this.#metrics.isHidden(row);
  }
}
