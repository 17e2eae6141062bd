/**
 * Copying from a log. Only the rows near the viewport are in the page, so what the browser would copy
 * is not what is selected: several lines are copied from the window, each as a whole.
 */

import { plainText } from "../model/ansi.js";
import { isTextInput } from "./dom.js";

/** @typedef {import("../model/log_rows.js").LogRow} LogRow */

/**
 * @typedef {object} LogClipboardOptions
 * @property {import("../model/log_window.js").LogWindow} window
 * @property {import("../model/line_selection.js").LineSelection} selection
 * @property {import("./virtual_log.js").VirtualLog} rows
 * @property {boolean} [isMainPart] the log is what the page is for: Ctrl+A is for it wherever the focus
 *   is, except in fields.
 * @property {() => void} onSelectAll
 * @property {(lineCount: number) => void} onCopied
 */

export class LogClipboard {
  #options;
  #closing = new AbortController();

  /** @param {LogClipboardOptions} options */
  constructor(options) {
    this.#options = options;
    const { signal } = this.#closing;
    const target = options.isMainPart ? document : options.rows.element;
    document.addEventListener("selectionchange", () => this.#onSelectionChange(), { signal });
    document.addEventListener("copy", (event) => this.#onCopy(event), { signal });
    target.addEventListener("keydown", (event) => this.#onKeyDown(event), { signal });
  }

  close() {
    this.#closing.abort();
  }

  /**
   * Write lines to the clipboard.
   *
   * @param {LogRow[]} lines
   * @returns {Promise<boolean>} false if the browser does not allow it.
   */
  async write(lines) {
    try {
      await navigator.clipboard.writeText(linesText(lines));
    } catch {
      return false;
    }
    this.#options.onCopied(lines.length);
    return true;
  }

  /** Keep the rows in the page in which the browser's selection begins and ends. */
  #onSelectionChange() {
    const { rows } = this.#options;
    const range = this.#selectedRange();
    rows.pin(range ? Object.values(boundaryRows(range)).map(rowSerial) : []);
    if (range) rows.setFollowing(false);
  }

  /** @param {ClipboardEvent} event */
  #onCopy(event) {
    const lines = this.#linesToCopy(event);
    if (!lines.length || !event.clipboardData) return;
    event.clipboardData.setData("text/plain", linesText(lines));
    event.preventDefault();
    this.#options.onCopied(lines.length);
  }

  /**
   * Return the lines to copy instead of what the browser would copy; none for a part of a line.
   *
   * @param {Event} event
   */
  #linesToCopy(event) {
    const { window, selection, rows } = this.#options;
    const range = this.#selectedRange();
    if (range) {
      const [first, last] = selectedSerials(range, rows.visibleRange);
      return first === last ? [] : window.linesBetween(first, last);
    }
    // Of two logs, the other tab has the lines that the reader sees.
    if (!rows.element.checkVisibility({ visibilityProperty: true })) return [];
    const isOwn = document.getSelection()?.isCollapsed !== false && !isTextInput(event);
    return isOwn ? selection.lines : [];
  }

  /** Return the browser's selection if it is not empty and begins or ends in the log. */
  #selectedRange() {
    const selection = document.getSelection();
    if (!selection?.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const { element } = this.#options.rows;
    return element.contains(range.startContainer) || element.contains(range.endContainer)
      ? range
      : null;
  }

  /** @param {Event} event */
  #onKeyDown(event) {
    const { key, ctrlKey, metaKey, altKey } = /** @type {KeyboardEvent} */ (event);
    if (key.toLowerCase() !== "a" || !(ctrlKey || metaKey) || altKey) return;
    if (isTextInput(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    document.getSelection()?.removeAllRanges();
    this.#options.onSelectAll();
  }
}

/**
 * Return the text of lines, without escape sequences: a terminal would obey them when it is pasted.
 * Lines of several jobs begin with their job.
 *
 * @param {LogRow[]} lines
 */
function linesText(lines) {
  return lines
    .map(({ text, job }) => `${job ? `${plainText(job.id)} | ` : ""}${plainText(text)}\n`)
    .join("");
}

/**
 * Return the serials of the first and the last row of which text is selected.
 *
 * @param {Range} range
 * @param {number[]} visibleRange the first and the last row for a selection that leaves the log.
 */
function selectedSerials(range, visibleRange) {
  const { start, end } = boundaryRows(range);
  const first = start ? rowSerial(start) : visibleRange[0];
  const last = end ? rowSerial(end) : visibleRange[1];
  if (first === last) return [first, last];
  const isFirstEmpty = start && !hasSelectedText(range, start);
  const isLastEmpty = end && !hasSelectedText(range, end);
  return [isFirstEmpty ? first + 1 : first, isLastEmpty ? last - 1 : last];
}

/**
 * Return true if a range holds text of a row.
 *
 * @param {Range} range
 * @param {HTMLElement} row
 */
function hasSelectedText(range, row) {
  const text = row.querySelector(".text");
  if (!text) return false;
  const part = document.createRange();
  part.selectNodeContents(text);
  if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) {
    part.setStart(range.startContainer, range.startOffset);
  }
  if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) {
    part.setEnd(range.endContainer, range.endOffset);
  }
  return part.toString() !== "";
}

/**
 * Return the rows in which a range begins and ends; null for outside of all rows.
 *
 * @param {Range} range
 */
function boundaryRows({ startContainer, startOffset, endContainer, endOffset }) {
  return { start: rowAt(startContainer, startOffset), end: rowAt(endContainer, endOffset) };
}

/**
 * @param {Node} container
 * @param {number} offset
 * @returns {HTMLElement | null}
 */
function rowAt(container, offset) {
  const child = container.childNodes[Math.min(offset, container.childNodes.length - 1)];
  const isList = container instanceof Element && container.matches(".rows");
  const node = isList && child ? child : container;
  const element = node instanceof Element ? node : node.parentElement;
  return element?.closest(".row[data-serial]") ?? null;
}

/** @param {HTMLElement | null} row */
function rowSerial(row) {
  return Number(row?.dataset.serial ?? NaN);
}
