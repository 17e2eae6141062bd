/**
 * Jumps to lines of a log: to a cursor, to a time, and to the lines that the address names. The address
 * names the selected lines.
 */

import { isSameLine, makeLineFragment, parseLineFragment } from "../model/line_links.js";
import { SLOW_SEARCH } from "../model/request_errors.js";
import { noLaterLineText } from "./log_notes.js";

/** @typedef {import("../model/line_links.js").LineRange} LineRange */

/** Number of pages to load for the end of a linked range. */
const MAX_RANGE_PAGES = 10;

/**
 * @typedef {object} LogJumpsOptions
 * @property {import("../model/log_window.js").LogWindow} window
 * @property {import("../model/line_selection.js").LineSelection} selection
 * @property {import("../model/log_pager.js").LogPager} pager
 * @property {import("./virtual_log.js").VirtualLog} rows
 * @property {() => void} onJump other rows are shown.
 * @property {() => boolean} isCut returns true if only lines of a level or a filter are shown.
 * @property {() => void} onNothing there is nothing to jump to: the log is to be opened anew.
 * @property {import("./log_notes.js").LogNotes} notes
 * @property {Pick<import("./log_source.js").LogSource, "readLines" | "writeLines">} source
 */

export class LogJumps {
  #options;

  /** @param {LogJumpsOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Lines that the address names; null if it names none. */
  get range() {
    return parseLineFragment(this.#options.source.readLines());
  }

  /** Let the address name the selected lines. */
  update() {
    const { selection, source } = this.#options;
    const [first, last] = [selection.lines[0], selection.lines.at(-1)];
    source.writeLines(first && last ? makeLineFragment(first, last) : "");
  }

  /**
   * Go to a line, loading it if necessary.
   *
   * @param {string} cursor
   * @returns {Promise<boolean>} false if the line cannot be loaded.
   */
  async toLine(cursor) {
    const { window, pager, rows, onJump } = this.#options;
    const isLoaded = window.has(window.findCursor(cursor));
    if (!isLoaded && !(await pager.jumpTo(cursor))) return false;
    const serial = window.findCursor(cursor);
    const isFound = window.has(serial);
    if (isFound) rows.scrollToRow(serial);
    onJump();
    return isFound;
  }

  /**
   * Go to the first line of a time or later.
   *
   * @param {string} time the server's parameter `time`.
   */
  async toTime(time) {
    const { pager, notes, isCut, onNothing } = this.#options;
    const page = await pager.jumpToPlace({ time });
    if (page?.target) await this.toLine(page.target);
    else if (page) {
      onNothing();
      notes.showNote(noTimeSentence(page, isCut()));
    }
  }

  /**
   * Show and select the lines of a link.
   *
   * @param {LineRange} range
   * @param {string} note to show unless there is another; "" for none.
   */
  async toRange(range, note) {
    const { window, selection, rows, notes, onJump, onNothing } = this.#options;
    notes.showNote(note);
    const first = await this.#goToFirst(range);
    if (Number.isNaN(first)) {
      if (!window.lastCursor) onNothing();
      if (range.first) notes.showNote(`Line ${range.first} could not be found in the log.`);
      return;
    }
    const findLast = () => this.#findLast(range, first);
    for (let page = 0; Number.isNaN(findLast()) && page < MAX_RANGE_PAGES; page += 1) {
      if (!(await this.#options.pager.loadNewer())) break;
    }
    selection.select(first);
    const last = findLast();
    if (Number.isNaN(last)) notes.showNote("Only the first of these lines are selected.");
    selection.select(Number.isNaN(last) ? window.nextSerial - 1 : last, { extend: true });
    rows.draw();
    onJump();
  }

  /**
   * Go to the first line of a link; return its serial, or NaN if it cannot be loaded.
   *
   * @param {LineRange} range
   */
  async #goToFirst({ from, first, check = "" }) {
    const { window, pager, notes } = this.#options;
    const cursor = from ?? (await pager.jumpToPlace({ line: first ?? 0, check }))?.target;
    if (!cursor || !(await this.toLine(cursor))) return NaN;
    if (!isSameLine(cursor, check)) {
      notes.showNote(
        `Line ${first} is not the line that this link was made for: the log has changed.`,
      );
    }
    return window.findCursor(cursor);
  }

  /**
   * Return the serial of the last line of a link; NaN if it is not loaded.
   *
   * @param {LineRange} range
   * @param {number} first serial of the first line.
   */
  #findLast({ to, last }, first) {
    const { window } = this.#options;
    if (to) return window.findCursor(to);
    for (let serial = first; window.has(serial); serial += 1) {
      const row = window.getRow(serial);
      // Numbers start again in the next file.
      if (row?.kind === "rotated") return NaN;
      if (row?.number === last) return serial;
    }
    return NaN;
  }
}

/**
 * Return a sentence on a page that holds no line of a time.
 *
 * @param {import("../model/log_rows.js").LogPage} page
 * @param {boolean} isCut
 */
function noTimeSentence({ lines, stopped_by: stoppedBy }, isCut) {
  if (stoppedBy === "time") return SLOW_SEARCH;
  const hasTimes = lines.some(({ logged_at: time }) => time);
  return isCut || hasTimes ? noLaterLineText(isCut) : "The lines of this log give no times.";
}
