/** Current line, and selection of lines by the reader: the address names them, and they can be copied. */

import { lineLabel } from "../model/log_line.js";
import { LogClipboard } from "./log_clipboard.js";

/**
 * @typedef {object} LogParts
 * @property {import("../model/log_window.js").LogWindow} window
 * @property {import("../model/line_selection.js").LineSelection} selection
 * @property {import("./virtual_log.js").VirtualLog} rows
 * @property {import("./log_notes.js").LogNotes} notes
 */

/**
 * @typedef {object} SelectorCallbacks
 * @property {boolean} [isMainPart] the log is what the page is for.
 * @property {import("./announcer.js").Announcer} announcer tells the current line.
 * @property {() => void} onSelect the reader has selected other lines, or none.
 * @property {() => void} onSelectAll all loaded lines are selected.
 * @property {(sentence: string) => void} onCopied
 */

export class LogSelector {
  #options;
  #clipboard;

  /** @param {LogParts & SelectorCallbacks} options */
  constructor(options) {
    this.#options = options;
    this.#clipboard = new LogClipboard({
      ...options,
      onSelectAll: () => this.#selectAll(),
      onCopied: (count) => options.onCopied(`${countLines(count)} copied`),
    });
  }

  close() {
    this.#clipboard.close();
  }

  /**
   * Select a line, or extend the selection to it.
   *
   * @param {number} serial NaN to select nothing.
   * @param {{extend?: boolean}} [options]
   */
  select(serial, { extend = false } = {}) {
    const { window, selection, rows, notes, onSelect } = this.#options;
    if (!window.has(serial)) selection.clear();
    else {
      selection.select(serial, { extend });
      rows.current = serial;
      rows.setFollowing(false);
    }
    rows.draw();
    notes.showNote("");
    onSelect();
  }

  /**
   * Make another line the current one.
   *
   * @param {number} by
   */
  step(by) {
    const { window, rows, announcer } = this.#options;
    rows.step(by);
    const row = window.getRow(rows.current);
    if (row?.kind === "line") announcer.answer(lineLabel(row));
  }

  /** Extend the selection to the current line. */
  extend() {
    const { window, rows } = this.#options;
    if (window.has(rows.current)) this.select(rows.current, { extend: true });
  }

  /** Copy the selected lines, or those in the viewport. */
  async copy() {
    const { selection, rows, notes } = this.#options;
    const selected = selection.lines;
    const lines = selected.length ? selected : rows.visibleLines;
    if (!(await this.#clipboard.write(lines))) {
      notes.showMessage("The browser did not allow access to the clipboard.");
    }
  }

  #selectAll() {
    const { window, selection, rows, notes, onSelectAll } = this.#options;
    selection.select(window.firstSerial);
    selection.select(window.nextSerial - 1, { extend: true });
    rows.setFollowing(false);
    rows.draw();
    if (window.before !== null || !window.atEnd) {
      notes.showNote(
        "Only the lines that are loaded are selected. Download the log for all of them.",
      );
    }
    onSelectAll();
  }
}

/**
 * Return a number of lines in words: `1,200 lines`.
 *
 * @param {number} count
 */
export function countLines(count) {
  return `${count.toLocaleString("en")} ${count === 1 ? "line" : "lines"}`;
}
