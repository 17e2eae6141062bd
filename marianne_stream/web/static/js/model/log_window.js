/**
 * The part of a log that the page holds: rows without a hole between them, up to a bound. New lines
 * are appended while the window reaches the end; else they are counted. It must not know how it is
 * shown.
 *
 * A row is a line (`kind` "line": text, number, cursor, time, truncated) or a mark of what happened
 * there (`kind` "rotated", "gap", "end"). Each has a `serial`, which rises by one from row to row.
 */

/** More rows than this are let go of at the other end, a tenth at a time. */
export const MOST_ROWS = 100_000;

/** The rows, and what is known of both ends. */
export class LogWindow {
  rows = [];
  #first = 0;
  /** Whether the window reaches the log's end, so that what comes belongs behind it. */
  atEnd = true;
  /** Whether nothing is known to lie before it. */
  atStart = false;
  /** How many lines came that the window has no place for. */
  passed = 0;
  #mostRows;

  constructor(mostRows = MOST_ROWS) {
    this.#mostRows = mostRows;
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

  /** The cursors of the first and of the last line; "" where there is none. */
  get oldest() {
    return this.rows.find(({ kind }) => kind === "line")?.cursor ?? "";
  }

  get newest() {
    return this.rows.findLast(({ kind }) => kind === "line")?.cursor ?? "";
  }

  /** The serial of the line with a cursor; -1 where it is not here. */
  find(cursor) {
    const place = placeOf(cursor);
    const index = this.rows.findIndex((row) => row.cursor && placeOf(row.cursor) === place);
    return index < 0 ? -1 : this.#first + index;
  }

  /** Empties it, as for a new viewer. */
  clear() {
    this.#first = this.next;
    this.rows = [];
    this.atEnd = true;
    this.atStart = false;
    this.passed = 0;
  }

  /**
   * Takes the events of a log stream in.
   *
   * @returns {{added: number, dropped: number, cleared: boolean}} rows added behind, and let go of
   *   in front.
   */
  take(events) {
    let added = 0;
    let cleared = false;
    for (const event of events) {
      const row = rowOf(event);
      if (!row) continue;
      if (row.kind === "gap" && row.data.reason === "cursor_unknown") {
        // What is shown is of a log that is not there any more.
        cleared = this.rows.length > 0;
        this.clear();
        added = 0;
      }
      if (!this.atEnd) this.passed += row.kind === "line" ? 1 : 0;
      else {
        this.rows.push(row);
        added += 1;
      }
    }
    return { added, dropped: this.#trimFront(), cleared };
  }

  /** Puts a page of older lines in front. Gives how many rows it became, and how many went behind. */
  prepend(page) {
    const rows = rowsOfPage(page.lines);
    const [last, first] = [rows.at(-1), this.rows.find(({ kind }) => kind === "line")];
    if (last && first && first.number <= last.number) rows.push(mark("rotated", {}));
    this.rows = rows.concat(this.rows);
    this.#first -= rows.length;
    this.atStart = page.before === null;
    return { added: rows.length, dropped: this.#trimBack() };
  }

  /** Puts a page of newer lines behind. */
  extend(page) {
    const rows = rowsOfPage(page.lines);
    const last = this.rows.findLast(({ kind }) => kind === "line");
    if (last && rows[0] && rows[0].number <= last.number) rows.unshift(mark("rotated", {}));
    for (const row of rows) this.rows.push(row);
    return { added: rows.length, dropped: this.#trimFront() };
  }

  /** Holds a page of the middle, and nothing else. */
  replace(page) {
    this.clear();
    this.rows = rowsOfPage(page.lines);
    this.atEnd = false;
    this.atStart = page.before === null;
  }

  #trimFront() {
    const over = this.rows.length - this.#mostRows;
    if (over <= 0) return 0;
    const count = over + Math.floor(this.#mostRows / 10);
    this.rows = this.rows.slice(count);
    this.#first += count;
    this.atStart = false;
    return count;
  }

  #trimBack() {
    const over = this.rows.length - this.#mostRows;
    if (over <= 0) return 0;
    const count = over + Math.floor(this.#mostRows / 10);
    this.rows.length -= count;
    this.atEnd = false;
    return count;
  }
}

/** A cursor without the file's inode, which is another one once the file was compressed. */
function placeOf(cursor) {
  return cursor.replace(/^(\w)-\w+-/, "$1-");
}

function rowOf({ event, id, data }) {
  if (event === "log") {
    const { line, line_number, timestamp, initial, truncated } = JSON.parse(data);
    const time = initial ? "" : timestamp;
    return lineRow(line, line_number, id, time, Boolean(truncated));
  }
  if (event === "log_rotated") return mark("rotated", JSON.parse(data));
  if (event === "log_gap") return mark("gap", JSON.parse(data));
  if (event === "log_complete") return mark("end", JSON.parse(data));
  return null;
}

function rowsOfPage(lines) {
  const rows = [];
  for (const { line, line_number, cursor, truncated } of lines) {
    const last = rows.at(-1);
    // Its numbers begin again where another file does.
    if (last && line_number <= last.number) rows.push(mark("rotated", {}));
    rows.push(lineRow(line, line_number, cursor, "", truncated));
  }
  return rows;
}

function lineRow(text, number, cursor, time, truncated) {
  return { kind: "line", text, number, cursor, time, truncated };
}

function mark(kind, data) {
  return { kind, data, text: "", number: 0, cursor: "" };
}
