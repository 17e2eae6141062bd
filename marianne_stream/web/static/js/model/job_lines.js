/**
 * Lines of one job for a log of several: those that wait before and behind the lines that are shown,
 * and the cursors to load more. The lines stay in the order of their log: each has the time that it
 * gives, but not one before that of the line above it, whose time it takes if it gives none.
 */

import { MAX_LINES as MAX_ENTRY_LINES } from "./log_entries.js";
import { makeMarker, makePageRows } from "./log_rows.js";

/** @typedef {import("./log_rows.js").LogRow} LogRow */
/** @typedef {import("./log_rows.js").LogPage} LogPage */
/** @typedef {import("./log_rows.js").LogJob} LogJob */

/** Number of lines that wait on one side; more are loaded again when they are needed. */
const MAX_WAITING = 1000;

/** Number of older lines without a time that may wait for one above them. */
const MAX_UNTIMED_LINES = 5_000;

/** A time further ahead of the reception is wrong: it would hold all later lines of the job. */
const MAX_AHEAD_MS = 24 * 3_600_000;

/** Kinds of rows that each new connection reports again. */
const STATE_KINDS = ["missing", "end"];

export class JobLines {
  /** @type {LogRow[]} older than the lines shown; the first ones have no time before it is known. */
  older = [];
  /** @type {LogRow[]} newer than the lines shown. */
  newer = [];
  /** @type {string | null} cursor for lines before all of these; null if there are none. */
  before = null;
  /** @type {string | null} cursor for lines behind all of these; null if the log's end is reached. */
  after = null;
  /** Cursor of the newest line. */
  cursor = "";
  /** Numbers of the first and the last line, which show where another file begins. */
  #firstNumber = Infinity;
  #lastNumber = 0;
  /** @type {LogRow["kind"] | null} */
  #lastKind = null;
  #oldestAt = Infinity;
  #newestAt = -Infinity;
  #localOffset;
  /** Number of lines since the last one that gives a time. */
  #untimedLines = Infinity;

  /**
   * @param {LogJob} job
   * @param {string} localOffset of the server's local time from UTC: `+0100`.
   */
  constructor(job, localOffset) {
    this.job = job;
    this.#localOffset = localOffset;
  }

  /** Time from which on all older lines are loaded. */
  get floor() {
    if (this.before === null) return -Infinity;
    return this.older.find(hasTime)?.at ?? Infinity;
  }

  /** Time up to which all newer lines are loaded. */
  get ceiling() {
    return this.after === null ? Infinity : (this.newer.at(-1)?.at ?? -Infinity);
  }

  /**
   * Take the page with which the log opens.
   *
   * @param {LogPage} page
   * @param {object} place
   * @param {number} place.from time of the first line to count as a newer one, epoch milliseconds.
   * @param {boolean} place.isAtEnd the page reaches the end of the log.
   * @param {number} place.receivedAt server time, for lines whose time is unknown.
   */
  open(page, { from, isAtEnd, receivedAt }) {
    const rows = makePageRows(page);
    this.before = page.before;
    this.cursor = page.after ?? "";
    this.after = isAtEnd ? null : this.cursor;
    if (rows.length) this.#endIfUntimed(rows);
    this.#setTimes(rows, { receivedAt, isComplete: this.before === null });
    const split = rows.findIndex(({ at = 0 }) => at >= from);
    this.newer = split < 0 ? [] : rows.splice(split);
    this.older = rows;
    this.#noteOldest(page);
    this.#noteNewest([...this.older, ...this.newer]);
  }

  /** @param {LogPage} page of the lines at `before`. */
  addOlder(page) {
    const added = makePageRows(page);
    const last = page.lines.at(-1);
    if (last && last.line_number >= this.#firstNumber) added.push(makeMarker("rotated", {}));
    const timed = this.older.findIndex(hasTime);
    // The lines above them tell their time now.
    const untimed = this.older.splice(0, timed < 0 ? this.older.length : timed);
    const rows = added.concat(untimed);
    this.before = page.before;
    if (rows.length >= MAX_UNTIMED_LINES) this.#endIfUntimed(rows);
    this.#setTimes(rows, { latest: this.#oldestAt, isComplete: this.before === null });
    this.older = rows.concat(this.older);
    this.#noteOldest(page);
  }

  /**
   * Add a marker at the oldest line: those before it cannot be loaded.
   *
   * @param {string} detail reason; "" if they are no longer in the log.
   */
  loseOlder(detail) {
    this.addOlder({ lines: [], before: null });
    const lost = makeMarker("gap", { reason: detail ? "unread" : "rotated_away", detail });
    this.older.unshift(Object.assign(lost, { job: this.job, at: this.#oldestAt }));
  }

  /**
   * Add a marker behind the newest line: those behind it cannot be loaded.
   *
   * @param {string} detail reason.
   */
  loseNewer(detail) {
    this.after = null;
    const lost = makeMarker("gap", { reason: "unread", detail });
    this.newer.push(Object.assign(lost, { job: this.job, at: this.#newestAt }));
  }

  /**
   * @param {LogPage} page of the lines at `after`.
   * @param {number} receivedAt server time, for lines whose time is unknown.
   */
  addNewer(page, receivedAt) {
    const rows = makePageRows(page);
    if (rows[0] && rows[0].number <= this.#lastNumber) rows.unshift(makeMarker("rotated", {}));
    this.cursor = page.after ?? this.cursor;
    this.after = page.stopped_by === "end" ? null : this.cursor;
    this.#setTimes(rows, { earliest: this.#newestAt, receivedAt, isComplete: true });
    this.newer.push(...rows);
    if (rows.length) this.#noteNewest(rows);
  }

  /**
   * Add a row of the log's stream.
   *
   * @param {LogRow} row
   * @param {number} receivedAt server time.
   * @returns {boolean} false if it says again that the log is missing, or has ended.
   */
  addRow(row, receivedAt) {
    if (row.kind === this.#lastKind && STATE_KINDS.includes(row.kind)) return false;
    row.job = this.job;
    row.at = this.#streamedTime(row, receivedAt);
    this.newer.push(row);
    this.#newestAt = row.at;
    this.#lastKind = row.kind;
    if (row.kind !== "line") return true;
    if (this.#firstNumber === Infinity) {
      this.#firstNumber = row.number;
      if (row.number > 1) this.before = row.cursor;
    }
    this.cursor = row.cursor;
    this.#lastNumber = row.number;
    return true;
  }

  /** @param {number} floor time of the oldest row to take. */
  takeOlder(floor) {
    const first = this.older.findIndex((row) => hasTime(row) && (row.at ?? 0) >= floor);
    return first < 0 ? [] : this.older.splice(first);
  }

  /** @param {number} ceiling time of the newest row to take. */
  takeNewer(ceiling) {
    const next = this.newer.findIndex(({ at = 0 }) => at > ceiling);
    return this.newer.splice(0, next < 0 ? this.newer.length : next);
  }

  /** @param {LogRow[]} rows that were dropped at the start of the lines shown. */
  returnOlder(rows) {
    this.older.push(...rows);
    if (!rows.length || this.older.length <= MAX_WAITING) return;
    this.older.splice(0, this.older.length - MAX_WAITING);
    const first = this.older.find(isLine);
    this.before = first?.cursor ?? this.before;
    this.#firstNumber = first?.number ?? this.#firstNumber;
    this.#oldestAt = this.older.find(hasTime)?.at ?? this.#oldestAt;
  }

  /** @param {LogRow[]} rows that were dropped at the end of the lines shown. */
  returnNewer(rows) {
    this.newer = rows.concat(this.newer);
    if (!rows.length || this.newer.length <= MAX_WAITING) return;
    this.newer.length = MAX_WAITING;
    this.cursor = this.newer.findLast(isLine)?.cursor ?? this.cursor;
    this.#noteNewest(this.newer);
  }

  /** Load newer lines in pages from here on, rather than by a stream. */
  leaveEnd() {
    this.after = this.cursor || null;
  }

  /**
   * Load no older lines if none of these gives a time: their place among those of other jobs is
   * unknown.
   *
   * @param {LogRow[]} rows the oldest rows.
   */
  #endIfUntimed(rows) {
    if (this.before === null || rows.some(givesTime)) return;
    rows.unshift(makeMarker("untimed", {}));
    this.before = null;
  }

  /**
   * Give the rows of a page their times.
   *
   * @param {LogRow[]} rows
   * @param {object} options
   * @param {boolean} options.isComplete no line is above that could tell the time of the first ones.
   * @param {number} [options.earliest]
   * @param {number} [options.latest]
   * @param {number} [options.receivedAt]
   */
  #setTimes(rows, { isComplete, earliest = -Infinity, latest = Infinity, receivedAt = latest }) {
    let at = earliest;
    for (const row of rows) {
      const own = this.#ownTime(row);
      if (own <= receivedAt + MAX_AHEAD_MS) at = Math.max(at, own);
      row.job = this.job;
      row.at = at === -Infinity ? NaN : Math.min(at, latest);
    }
    if (!isComplete) return;
    const first = rows.find(hasTime)?.at ?? receivedAt;
    for (const row of rows) if (!hasTime(row)) row.at = first;
  }

  /** @param {LogPage} page */
  #noteOldest({ lines }) {
    this.#firstNumber = lines[0]?.line_number ?? this.#firstNumber;
    const first = this.older.find(hasTime) ?? this.newer[0];
    this.#oldestAt = first?.at ?? this.#oldestAt;
  }

  /** @param {LogRow[]} rows the newest rows. */
  #noteNewest(rows) {
    const last = rows.findLastIndex(givesTime);
    const isFirst = this.#untimedLines === Infinity && last < 0;
    this.#untimedLines = isFirst ? Infinity : rows.length - 1 - last;
    this.#newestAt = rows.at(-1)?.at ?? this.#newestAt;
    this.#lastKind = rows.at(-1)?.kind ?? this.#lastKind;
    this.#lastNumber = rows.findLast(isLine)?.number ?? this.#lastNumber;
  }

  /** @param {LogRow} row */
  #ownTime({ loggedAt = "" }) {
    return parseLoggedTime(loggedAt, this.#localOffset);
  }

  /**
   * @param {LogRow} row
   * @param {number} receivedAt
   */
  #streamedTime(row, receivedAt) {
    const previous = this.#newestAt;
    if (row.kind !== "line") return previous === -Infinity ? receivedAt : previous;
    const own = this.#ownTime(row);
    if (own <= receivedAt + MAX_AHEAD_MS) {
      this.#untimedLines = 0;
      return Math.max(previous, own);
    }
    // A level begins an entry.
    this.#untimedLines = row.level ? Infinity : this.#untimedLines + 1;
    return this.#untimedLines < MAX_ENTRY_LINES ? previous : Math.max(previous, receivedAt);
  }
}

/**
 * Return a time as a line gives it; NaN if it gives none. A time without an offset is taken for the
 * server's local time, as the server does.
 *
 * @param {string} text ISO 8601.
 * @param {string} localOffset
 */
export function parseLoggedTime(text, localOffset) {
  return Date.parse(addOffset(text.replace(/(\.\d{3})\d+/, "$1"), localOffset));
}

/**
 * Return a time with its offset; with that of the server's local time if it has none.
 *
 * @param {string} text ISO 8601.
 * @param {string} localOffset
 */
export function addOffset(text, localOffset) {
  if (/(Z|[+-]\d\d:\d\d)$/i.test(text)) return text;
  return `${text}${localOffset.replace(/(\d\d)(\d\d)$/, "$1:$2")}`;
}

/** @param {LogRow} row */
function givesTime({ loggedAt = "" }) {
  return !Number.isNaN(parseLoggedTime(loggedAt, "Z"));
}

/** @param {LogRow} row */
function hasTime({ at = NaN }) {
  return !Number.isNaN(at);
}

/** @param {LogRow} row */
function isLine({ kind }) {
  return kind === "line";
}
