/**
 * Window of a log: the contiguous rows that the page holds, up to a limit. New lines are appended
 * while the window reaches the end of the log, and only counted otherwise.
 */

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} LogRow a line, or a marker of what happened at this place of the log. Rows have
 *   serials: consecutive integers, never reused, negative for rows that were prepended.
 * @property {"line" | "rotated" | "gap" | "missing" | "end"} kind
 * @property {string} text
 * @property {number} number of the line in its file.
 * @property {string} cursor
 * @property {string} [time] ISO 8601 time at which the server read the line; "" if unknown.
 * @property {boolean} [truncated]
 * @property {string} [level]
 * @property {string} [loggedAt] time in the line; "" if it contains none.
 * @property {boolean} [isFromConductor] the line was taken from the conductor's own log.
 * @property {boolean} [startsRun]
 * @property {any} [data] of a marker: the data of its event.
 * @property {boolean} [isOpen] the fields of a JSON line are shown.
 * @property {number} [height] when last drawn, in pixels.
 * @property {string} [heightLayout] the layout for which the height is valid.
 * @property {import("./log_line.js").ParsedLine} [parsed] cache of the parsed text.
 */

/**
 * @typedef {object} LogPageLine
 * @property {string} line
 * @property {number} line_number
 * @property {string} cursor
 * @property {boolean} [truncated]
 * @property {string | null} [level]
 * @property {string | null} [logged_at]
 * @property {boolean} [begins_run]
 * @property {boolean} [match] of a search: false for a line of the context.
 */

/**
 * @typedef {object} LogPage response of `/logs/lines`.
 * @property {LogPageLine[]} lines
 * @property {string | null} before cursor for older lines; null at the beginning of the log.
 * @property {string} [after] cursor for newer lines.
 * @property {string} [source]
 * @property {string} [stopped_by]
 * @property {{line: string, line_number: number} | null} [partial] the last line without a newline.
 * @property {number} [read_bytes]
 */

/** Limits of a window; beyond them, a tenth of the rows is dropped at the other end. */
export const MAX_ROWS = 100_000;
export const MAX_CHARS = 15_000_000;

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
  }

  /**
   * Apply events of a log stream.
   *
   * @param {ServerSentEvent[]} events
   * @param {{keepRows?: boolean}} [options] `keepRows` while the reader does not follow the end: then
   *   no row is dropped, and a full window takes no more lines.
   * @returns {{added: number, dropped: number, received: number, cleared: boolean}} number of rows
   *   added at the end, of rows dropped at the start, and of lines received; `cleared` if the old
   *   rows belong to a log that is gone.
   */
  applyEvents(events, { keepRows = false } = {}) {
    const change = { added: 0, dropped: 0, received: 0, cleared: false };
    for (const event of events) {
      if (event.event === "log_partial") this.partial = parsePartial(event);
      const row = makeEventRow(event);
      if (!row || (row.kind === "missing" && this.isMissing)) continue;
      this.partial = null;
      if (row.kind === "gap" && row.data.reason === "cursor_expired") {
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
    if (!keepRows) change.dropped = this.#trimStart();
    return change;
  }

  /**
   * Add a page of older lines at the start.
   *
   * @param {LogPage} page
   * @returns {{added: number}} number of rows added.
   */
  prepend(page) {
    const rows = makePageRows(page);
    const [last, first] = [rows.at(-1), this.rows.find(({ kind }) => kind === "line")];
    if (last && first && first.number <= last.number) rows.push(makeMarker("rotated", {}));
    this.rows = rows.concat(this.rows);
    this.#firstSerial -= rows.length;
    this.#chars += countChars(rows);
    this.before = page.before;
    this.#trimEnd();
    return { added: rows.length };
  }

  /**
   * Add a page of newer lines at the end.
   *
   * @param {LogPage} page
   * @returns {{added: number, dropped: number}} number of rows added, and dropped at the start.
   */
  append(page) {
    const rows = makePageRows(page);
    const last = this.rows.findLast(({ kind }) => kind === "line");
    if (last && rows[0] && rows[0].number <= last.number) rows.unshift(makeMarker("rotated", {}));
    for (const row of rows) this.#push(row);
    this.after = page.after ?? this.after;
    return { added: rows.length, dropped: this.#trimStart() };
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
    this.rows.push(row);
    this.#chars += row.text.length;
  }

  /** Stop appending new lines if the window is full. */
  #closeIfFull() {
    const isFull = this.rows.length >= this.#maxRows || this.#chars >= this.#maxChars;
    if (!this.atEnd || !isFull) return;
    this.atEnd = false;
    this.after = this.lastCursor;
  }

  #trimStart() {
    const count = this.#excessRows();
    if (!count) return 0;
    this.#chars -= countChars(this.rows.slice(0, count));
    this.rows = this.rows.slice(count);
    this.#firstSerial += count;
    this.before = this.rows.find(({ kind }) => kind === "line")?.cursor ?? "";
    return count;
  }

  #trimEnd() {
    const count = this.#excessRows();
    if (!count) return;
    this.#chars -= countChars(this.rows.slice(-count));
    this.rows.length -= count;
    this.atEnd = false;
    this.after = this.lastCursor;
  }

  /** Return how many rows to drop: 0, or as many as leave nine tenths of the limit. */
  #excessRows() {
    if (this.rows.length <= this.#maxRows && this.#chars <= this.#maxChars) return 0;
    const share = Math.max(this.rows.length / this.#maxRows, this.#chars / this.#maxChars);
    return Math.ceil(this.rows.length * (1 - 0.9 / share));
  }
}

/**
 * Return a cursor without the inode of its file, which changes when the file is compressed.
 *
 * @param {string} cursor
 */
function cursorKey(cursor) {
  return cursor.replace(/^(\w)-\w+-/, "$1-");
}

/** @type {Record<string, LogRow["kind"]>} */
const MARKERS = {
  log_rotated: "rotated",
  log_gap: "gap",
  log_missing: "missing",
  log_complete: "end",
};

/**
 * @param {ServerSentEvent} event
 * @returns {LogRow | null} null for an event without a row.
 */
function makeEventRow({ event, id, data }) {
  if (MARKERS[event]) return makeMarker(MARKERS[event], JSON.parse(data));
  if (event !== "log") return null;
  const value = JSON.parse(data);
  return makeLineRow(value, id, value.initial ? "" : value.timestamp);
}

/**
 * @param {ServerSentEvent} event
 * @returns {{text: string, number: number} | null}
 */
function parsePartial({ data }) {
  const { line, line_number } = JSON.parse(data);
  return line ? { text: line, number: line_number } : null;
}

/** @param {LogPage} page */
function makePageRows({ lines, source }) {
  /** @type {LogRow[]} */
  const rows = [];
  for (const line of lines) {
    const last = rows.at(-1);
    // Line numbers start again in each file.
    if (last && line.line_number <= last.number) rows.push(makeMarker("rotated", {}));
    rows.push(makeLineRow({ ...line, source }, line.cursor, ""));
  }
  return rows;
}

/**
 * @param {Omit<LogPageLine, "cursor"> & {source?: string}} line
 * @param {string} cursor
 * @param {string} time
 * @returns {LogRow}
 */
function makeLineRow(line, cursor, time) {
  return {
    kind: "line",
    text: line.line,
    number: line.line_number,
    cursor,
    time,
    truncated: Boolean(line.truncated),
    level: line.level ?? "",
    loggedAt: line.logged_at ?? "",
    isFromConductor: line.source === "conductor",
    startsRun: Boolean(line.begins_run),
  };
}

/**
 * @param {LogRow["kind"]} kind
 * @param {object} data
 * @returns {LogRow}
 */
function makeMarker(kind, data) {
  return { kind, data, text: "", number: 0, cursor: "" };
}

/** @param {LogRow[]} rows */
function countChars(rows) {
  return rows.reduce((sum, { text }) => sum + text.length, 0);
}
