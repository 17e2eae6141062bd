/**
 * The part of a log that the page holds: rows without a hole between them, up to a bound. New lines
 * are appended while the window reaches the end; else they are counted. It must not know how it is
 * shown, or who asks for pages.
 *
 * A row is a line (`kind` "line": text, number, cursor, time, truncated, level, loggedAt,
 * ofConductor, beginsRun) or a mark of
 * what happened there (`kind` "rotated", "gap", "end", "fault"). Each has a serial, which rises by one from row to
 * row, and is given to no other row.
 */

/** More than this is let go of at the other end, a tenth at a time. */
export const MOST_ROWS = 100_000;
export const MOST_CHARS = 15_000_000;

/** The rows, and what is known of both ends. */
export class LogWindow {
  rows = [];
  #first = 0;
  #chars = 0;
  #most;
  /** Whether the window reaches the log's end, so that what comes belongs behind it. */
  atEnd = true;
  /** From where older lines go on: a cursor; "" where it is not known, null where there are none. */
  before = "";
  /** From where newer lines go on, where the window does not reach the end. */
  after = "";
  /** The last line of the log while it has no newline: text and number; null where there is none. */
  partial = null;

  constructor({ rows = MOST_ROWS, chars = MOST_CHARS } = {}) {
    this.#most = { rows, chars };
  }

  /** The serial of the first row. */
  get first() {
    return this.#first;
  }

  /** The serial behind the last row. */
  get next() {
    return this.#first + this.rows.length;
  }

  row(serial) {
    return this.rows[serial - this.#first];
  }

  holds(serial) {
    return serial >= this.#first && serial < this.next;
  }

  /** The cursor of the last line; "" where there is none. */
  get newest() {
    return this.rows.findLast(({ kind }) => kind === "line")?.cursor ?? "";
  }

  /** Whether the lines are the job's of the conductor's own log. */
  get ofConductor() {
    return Boolean(this.rows.findLast(({ kind }) => kind === "line")?.ofConductor);
  }

  /** The serial of the line with a cursor; -1 where it is not here. */
  find(cursor) {
    const place = placeOf(cursor);
    const index = this.rows.findIndex((row) => row.cursor && placeOf(row.cursor) === place);
    return index < 0 ? -1 : this.#first + index;
  }

  /** Whether the job has no log so far. */
  get isMissing() {
    const last = this.rows.at(-1);
    return last?.kind === "missing" || Boolean(last?.data?.missing);
  }

  /** Empties it, as for a new viewer. */
  clear() {
    this.#first = this.next;
    this.rows = [];
    this.#chars = 0;
    this.atEnd = true;
    this.before = this.after = "";
    this.partial = null;
  }

  /**
   * Takes the events of a log stream in.
   *
   * @param {object[]} events
   * @param {{reading?: boolean}} how whether somebody reads, and is not to be swept away.
   * @returns {{added: number, dropped: number, passed: number, cleared: boolean}} rows added behind,
   *   rows let go of in front, lines that came; whether what was there is of a log that is gone.
   */
  take(events, { reading = false } = {}) {
    const change = { added: 0, dropped: 0, passed: 0, cleared: false };
    for (const event of events) {
      if (event.event === "log_partial") this.partial = partialOf(event);
      const row = rowOf(event);
      if (!row || (row.kind === "missing" && this.isMissing)) continue;
      this.partial = null;
      if (row.kind === "gap" && row.data.reason === "cursor_expired") {
        change.cleared = this.rows.length > 0;
        this.clear();
        change.added = 0;
      }
      if (row.kind === "line") change.passed += 1;
      if (this.atEnd && reading && this.#isOver()) {
        this.atEnd = false;
        this.after = this.newest;
      }
      if (!this.atEnd) continue;
      if (this.before === "" && row.kind === "line") this.before = row.cursor;
      this.#push(row);
      change.added += 1;
    }
    if (!reading) change.dropped = this.#trimFront();
    return change;
  }

  /** Puts a page of older lines in front. Gives how many rows it became. */
  prepend(page) {
    const rows = rowsOfPage(page);
    const [last, first] = [rows.at(-1), this.rows.find(({ kind }) => kind === "line")];
    if (last && first && first.number <= last.number) rows.push(mark("rotated", {}));
    this.rows = rows.concat(this.rows);
    this.#first -= rows.length;
    this.#chars += charsOf(rows);
    this.before = page.before;
    this.#trimBack();
    return { added: rows.length };
  }

  /** Puts a page of newer lines behind. */
  extend(page) {
    const rows = rowsOfPage(page);
    const last = this.rows.findLast(({ kind }) => kind === "line");
    if (last && rows[0] && rows[0].number <= last.number) rows.unshift(mark("rotated", {}));
    for (const row of rows) this.#push(row);
    this.after = page.after ?? this.after;
    return { added: rows.length, dropped: this.#trimFront() };
  }

  /** Holds a page, and nothing else. */
  replace(page) {
    this.clear();
    for (const row of rowsOfPage(page)) this.#push(row);
    this.atEnd = false;
    this.before = page.before;
    this.after = page.after ?? "";
  }

  #push(row) {
    this.rows.push(row);
    this.#chars += row.text.length;
  }

  #isOver() {
    return this.rows.length >= this.#most.rows || this.#chars >= this.#most.chars;
  }

  #trimFront() {
    const count = this.#surplus();
    if (!count) return 0;
    this.#chars -= charsOf(this.rows.slice(0, count));
    this.rows = this.rows.slice(count);
    this.#first += count;
    this.before = this.rows.find(({ kind }) => kind === "line")?.cursor ?? "";
    return count;
  }

  #trimBack() {
    const count = this.#surplus();
    if (!count) return;
    this.#chars -= charsOf(this.rows.slice(-count));
    this.rows.length -= count;
    this.atEnd = false;
    this.after = this.newest;
  }

  /** How many rows are to go, where there are too many. */
  #surplus() {
    const { rows, chars } = this.#most;
    if (this.rows.length <= rows && this.#chars <= chars) return 0;
    const share = Math.max(this.rows.length / rows, this.#chars / chars);
    return Math.ceil(this.rows.length * (1 - 0.9 / share));
  }
}

/** A cursor without the file's inode, which is another one once the file was compressed. */
function placeOf(cursor) {
  return cursor.replace(/^(\w)-\w+-/, "$1-");
}

const MARKS = {
  log_rotated: "rotated",
  log_gap: "gap",
  log_missing: "missing",
  log_complete: "end",
  stream_error: "fault",
};

function rowOf({ event, id, data }) {
  if (MARKS[event]) return mark(MARKS[event], JSON.parse(data));
  if (event !== "log") return null;
  const said = JSON.parse(data);
  return lineRow(said, id, said.initial ? "" : said.timestamp);
}

function partialOf({ data }) {
  const { line, line_number } = JSON.parse(data);
  return line ? { text: line, number: line_number } : null;
}

function rowsOfPage({ lines, source }) {
  const rows = [];
  for (const line of lines) {
    const last = rows.at(-1);
    // Its numbers begin again where another file does.
    if (last && line.line_number <= last.number) rows.push(mark("rotated", {}));
    rows.push(lineRow({ ...line, source }, line.cursor, ""));
  }
  return rows;
}

function lineRow(said, cursor, time) {
  const { line, line_number, truncated, level, logged_at } = said;
  return {
    kind: "line",
    text: line,
    number: line_number,
    cursor,
    time,
    truncated: Boolean(truncated),
    level: level ?? "",
    loggedAt: logged_at ?? "",
    ofConductor: said.source === "conductor",
    beginsRun: Boolean(said.begins_run),
  };
}

function mark(kind, data) {
  return { kind, data, text: "", number: 0, cursor: "" };
}

function charsOf(rows) {
  return rows.reduce((sum, { text }) => sum + text.length, 0);
}
