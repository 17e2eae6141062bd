/**
 * Window of a log: the contiguous rows that the page holds, up to a limit. New lines are appended
 * while the window reaches the end of the log, and only counted otherwise.
 */

import { joinEntry, leaveEntry } from "./log_entries.js";
import {
  countChars,
  cursorKey,
  makeEventRow,
  makeMarker,
  makePageRows,
  parsePartial,
} from "./log_rows.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./log_rows.js").LogRow} LogRow */
/** @typedef {import("./log_rows.js").LogPage} LogPage */

/**
 * @typedef {object} MergeChange rows that were merged into others.
 * @property {number} added number of rows.
 * @property {number[]} insertedAt serials that rows had before which others were inserted, in order:
 *   these and later rows have other serials now. Rows at the end are not among them.
 * @property {(serial: number) => number} moved returns the new serial of a row.
 * @property {LogRow[]} dropped rows at the start.
 */

/** Limits of a window; beyond them, a tenth of the rows is dropped at the other end. */
export const MAX_ROWS = 100_000;
export const MAX_CHARS = 15_000_000;

/** Number of lines at an end of the window that a page with context may have as well. */
const MAX_SHARED = 200;

export class LogWindow {
  /** @type {LogRow[]} */
  rows = [];
  #firstSerial = 0;
  #chars = 0;
  #maxRows;
  #maxChars;
  /** True if the window reaches the end of the log, so that new lines are appended to it. */
  atEnd = true;
  /** @type {string | null} cursor for older lines; "" if unknown, null if there are none. */
  before = "";
  /** Cursor for newer lines, if the window does not reach the end. */
  after = "";
  /** @type {{text: string, number: number} | null} last line of the log while it has no newline. */
  partial = null;

  /** True once the window has had a line with a time, a level, or an entry of several lines. */
  hasTimes = false;
  hasLevels = false;
  hasEntries = false;

  constructor({ maxRows = MAX_ROWS, maxChars = MAX_CHARS } = {}) {
    this.#maxRows = maxRows;
    this.#maxChars = maxChars;
  }

  get firstSerial() {
    return this.#firstSerial;
  }

  /** Serial of the next row that is appended. */
  get nextSerial() {
    return this.#firstSerial + this.rows.length;
  }

  /**
   * Return the row with a serial.
   *
   * @param {number} serial
   * @returns {LogRow | undefined}
   */
  getRow(serial) {
    return this.rows[serial - this.#firstSerial];
  }

  /**
   * Return the lines from one serial to another.
   *
   * @param {number} first
   * @param {number} last
   */
  linesBetween(first, last) {
    return this.rows
      .slice(Math.max(0, first - this.#firstSerial), last - this.#firstSerial + 1)
      .filter(({ kind }) => kind === "line");
  }

  /** @param {number} serial */
  has(serial) {
    return serial >= this.#firstSerial && serial < this.nextSerial;
  }

  /** Cursor of the last line; "" if there is none. */
  get lastCursor() {
    return this.rows.findLast(({ kind }) => kind === "line")?.cursor ?? "";
  }

  /** True if the lines are this job's lines of the conductor's log. */
  get isFromConductor() {
    return Boolean(this.rows.findLast(({ kind }) => kind === "line")?.isFromConductor);
  }

  /**
   * Return the serial of the line with a cursor; NaN if the window does not contain it.
   *
   * @param {string} cursor
   */
  findCursor(cursor) {
    const key = cursorKey(cursor);
    const index = this.rows.findIndex((row) => row.cursor && cursorKey(row.cursor) === key);
    return index < 0 ? NaN : this.#firstSerial + index;
  }

  /** True if the job has no log yet. */
  get isMissing() {
    const last = this.rows.at(-1);
    return last?.kind === "missing" || Boolean(last?.data?.missing);
  }

  /** Remove all rows, as for a new viewer. */
  clear() {
    this.#firstSerial = this.nextSerial;
    this.rows = [];
    this.#chars = 0;
    this.atEnd = true;
    this.before = this.after = "";
    this.partial = null;
    this.hasTimes = this.hasLevels = this.hasEntries = false;
  }

  /**
   * Apply events of a log stream.
   *
   * @param {ServerSentEvent[]} events
   * @param {{keepRows?: boolean}} [options] `keepRows` while the reader does not follow the end: then
   *   no row is dropped, and a full window takes no more lines.
   * @returns {{added: number, dropped: number, received: number, cleared: boolean}} number of rows
   *   added at the end, of rows dropped at the start, and of lines received; `cleared` if the old
   *   rows belong to a log that is gone, or said that there is none.
   */
  applyEvents(events, { keepRows = false } = {}) {
    const change = { added: 0, dropped: 0, received: 0, cleared: false };
    for (const event of events) {
      if (event.event === "log_partial") change.cleared ||= this.#takePartial(event);
      const row = makeEventRow(event);
      if (!row || (row.kind === "missing" && this.isMissing)) continue;
      this.partial = null;
      if (this.#beginsLog(row)) {
        change.cleared = this.rows.length > 0;
        this.clear();
        change.added = 0;
      }
      if (row.kind === "line") change.received += 1;
      if (keepRows) this.#closeIfFull();
      if (!this.atEnd) continue;
      if (this.before === "" && row.kind === "line") this.before = row.cursor;
      this.#push(row);
      change.added += 1;
    }
    if (!keepRows) change.dropped = this.#trimStart().length;
    return change;
  }

  /**
   * @param {ServerSentEvent} event
   * @returns {boolean} true if the rows were removed: they said that there is no log.
   */
  #takePartial(event) {
    const endsMissing = this.rows.length === 1 && this.isMissing;
    if (endsMissing) this.clear();
    this.partial = parsePartial(event);
    return endsMissing;
  }

  /**
   * Return true if the rows so far belong to a log that is gone, or say only that there is none.
   *
   * @param {LogRow} row
   */
  #beginsLog({ kind, data }) {
    if (kind === "gap") return data?.reason === "cursor_expired";
    return kind === "line" && this.rows.length === 1 && this.isMissing;
  }

  /**
   * Add a page of older lines at the start.
   *
   * @param {LogPage} page
   * @returns {{added: number}} number of rows added.
   */
  prepend(page) {
    const rows = this.#newRows(page);
    const [last, first] = [rows.at(-1), this.rows.find(({ kind }) => kind === "line")];
    if (last && first && first.number <= last.number) rows.push(makeMarker("rotated", {}));
    this.prependRows(rows);
    this.before = page.before;
    return { added: rows.length };
  }

  /**
   * Add a page of newer lines at the end.
   *
   * @param {LogPage} page
   * @returns {{added: number, dropped: number}} number of rows added, and dropped at the start.
   */
  append(page) {
    const rows = this.#newRows(page);
    const last = this.rows.findLast(({ kind }) => kind === "line");
    if (last && rows[0] && rows[0].number <= last.number) rows.unshift(makeMarker("rotated", {}));
    for (const row of rows) this.#push(row);
    this.after = page.after ?? this.after;
    return { added: rows.length, dropped: this.#trimStart().length };
  }

  /**
   * Add older rows of several jobs at the start.
   *
   * @param {LogRow[]} rows in the order of their times.
   * @returns {LogRow[]} rows dropped at the end.
   */
  prependRows(rows) {
    this.rows = rows.concat(this.rows);
    this.#firstSerial -= rows.length;
    this.#joinEntries(rows.length);
    this.#chars += countChars(rows);
    return this.#trimEnd();
  }

  /**
   * Add newer rows of several jobs in the order of their times, behind rows of the same time.
   *
   * @param {LogRow[]} rows in the order of their times.
   * @param {{keepRows?: boolean}} [options] `keepRows` to drop none.
   * @returns {MergeChange}
   */
  merge(rows, { keepRows = false } = {}) {
    const from = this.rows.findLastIndex((row) => rowTime(row) <= rowTime(rows[0])) + 1;
    const later = this.rows.splice(from);
    const laterSerial = this.nextSerial;
    /** @type {number[]} */
    const insertedAt = [];
    let next = 0;
    for (const row of rows) {
      while (next < later.length && rowTime(later[next]) <= rowTime(row)) {
        this.rows.push(later[next++]);
      }
      if (next < later.length) insertedAt.push(laterSerial + next);
      this.#push(row);
    }
    this.rows = this.rows.concat(later.slice(next));
    return {
      added: rows.length,
      insertedAt,
      moved: (serial) => serial + insertedAt.filter((before) => before <= serial).length,
      dropped: keepRows ? [] : this.#trimStart(),
    };
  }

  /**
   * Replace all rows by a page.
   *
   * @param {LogPage} page
   * @param {{atEnd?: boolean}} [options] `atEnd`: the page reaches the end of the log.
   */
  replace(page, { atEnd = false } = {}) {
    this.clear();
    for (const row of makePageRows(page)) this.#push(row);
    this.atEnd = atEnd;
    this.before = page.before;
    this.after = page.after ?? "";
    if (atEnd && page.partial) {
      this.partial = { text: page.partial.line, number: page.partial.line_number };
    }
  }

  /** @param {LogRow} row */
  #push(row) {
    const previous = this.rows.at(-1);
    this.rows.push(row);
    this.#chars += row.text.length;
    this.#addToColumns(row, previous);
  }

  /**
   * Join prepended rows to entries, and the rows behind them whose entry begins among them.
   *
   * @param {number} count of prepended rows.
   */
  #joinEntries(count) {
    for (let index = 0; index < this.rows.length; index += 1) {
      const row = this.rows[index];
      if (index >= count && (row.entry || row.level || row.loggedAt)) return;
      const hasJoined = this.#addToColumns(row, this.rows[index - 1]);
      if (index >= count && !hasJoined) return;
    }
  }

  /**
   * @param {LogRow} row
   * @param {LogRow | undefined} previous
   */
  #addToColumns(row, previous) {
    this.hasTimes ||= Boolean(row.loggedAt || row.time);
    this.hasLevels ||= Boolean(row.level);
    const hasJoined = joinEntry(row, previous);
    this.hasEntries ||= hasJoined;
    return hasJoined;
  }

  /**
   * Return the rows of a page that the window does not have: matches may share their context.
   *
   * @param {LogPage} page
   */
  #newRows(page) {
    if (!page.lines.some(({ match }) => match === false)) return makePageRows(page);
    const known = new Map();
    for (const row of [...this.rows.slice(0, MAX_SHARED), ...this.rows.slice(-MAX_SHARED)]) {
      if (row.cursor) known.set(cursorKey(row.cursor), row);
    }
    const lines = page.lines.filter(({ cursor, match }) => {
      const row = known.get(cursorKey(cursor));
      if (row) row.isMatch ||= match;
      return !row;
    });
    return makePageRows({ ...page, lines });
  }

  get isFull() {
    return this.rows.length >= this.#maxRows || this.#chars >= this.#maxChars;
  }

  /** Stop appending new lines if the window is full. */
  #closeIfFull() {
    if (!this.atEnd || !this.isFull) return;
    this.atEnd = false;
    this.after = this.lastCursor;
  }

  /** Drop rows at the start if there are too many; return them. */
  #trimStart() {
    const count = this.#excessRows();
    if (!count) return [];
    const dropped = this.rows.slice(0, count);
    for (const row of dropped) row.entry = undefined;
    this.#chars -= countChars(dropped);
    this.rows = this.rows.slice(count);
    this.#firstSerial += count;
    // The first lines of these entries are gone.
    for (let at = 0; this.rows[at]?.entry && this.rows[at].entry?.head !== this.rows[at]; at += 1) {
      this.rows[at].entry = undefined;
    }
    this.before = this.rows.find(({ kind }) => kind === "line")?.cursor ?? "";
    return dropped;
  }

  /** Drop rows at the end if there are too many; return them. */
  #trimEnd() {
    const count = this.#excessRows();
    if (!count) return [];
    const dropped = this.rows.slice(-count);
    for (const row of dropped) leaveEntry(row);
    this.#chars -= countChars(dropped);
    this.rows.length -= count;
    this.atEnd = false;
    this.after = this.lastCursor;
    return dropped;
  }

  /** Return how many rows to drop: 0, or as many as leave nine tenths of the limit. */
  #excessRows() {
    if (this.rows.length <= this.#maxRows && this.#chars <= this.#maxChars) return 0;
    const share = Math.max(this.rows.length / this.#maxRows, this.#chars / this.#maxChars);
    return Math.ceil(this.rows.length * (1 - 0.9 / share));
  }
}

/** @param {LogRow} row */
function rowTime({ at = 0 }) {
  return at;
}
