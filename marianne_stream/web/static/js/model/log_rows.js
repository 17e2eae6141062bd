/** Rows of a log, made of events and pages. */

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} LogRow a line, or a marker of what happened at this place of the log. Rows have
 *   serials: consecutive integers, never reused, negative for rows that were prepended.
 * @property {"line" | "rotated" | "gap" | "missing" | "end" | "untimed"} kind `untimed` in a view of
 *   several jobs: older lines of the job give no times.
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
 * @property {boolean} [isWhole] all of a long line is shown.
 * @property {boolean} [isMatch] of a search: false for a line that is shown as context.
 * @property {import("./log_entries.js").LogEntry} [entry] entry of several lines.
 * @property {LogJob} [job] in a view of several jobs.
 * @property {number} [at] time by which rows of several jobs are ordered, epoch milliseconds.
 * @property {number} [height] when last drawn, in pixels.
 * @property {string} [heightLayout] the layout for which the height is valid.
 * @property {import("./log_line.js").ParsedLine} [parsed] cache of the parsed text.
 */

/** @typedef {{id: string, colour: number}} LogJob job of a view, and the number of its colour. */

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
 * @property {string | null} [target] cursor of the line that the page was requested for.
 */

/**
 * Return a cursor without the inode of its file, which changes when the file is compressed.
 *
 * @param {string} cursor
 */
export function cursorKey(cursor) {
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
export function makeEventRow({ event, id, data }) {
  if (MARKERS[event]) return makeMarker(MARKERS[event], JSON.parse(data));
  if (event !== "log") return null;
  const value = JSON.parse(data);
  return makeLineRow(value, id, value.initial ? "" : value.timestamp);
}

/**
 * @param {ServerSentEvent} event
 * @returns {{text: string, number: number} | null}
 */
export function parsePartial({ data }) {
  const { line, line_number } = JSON.parse(data);
  return line ? { text: line, number: line_number } : null;
}

/** @param {LogPage} page */
export function makePageRows({ lines, source }) {
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
    isMatch: line.match,
  };
}

/**
 * @param {LogRow["kind"]} kind
 * @param {object} data
 * @returns {LogRow}
 */
export function makeMarker(kind, data) {
  return { kind, data, text: "", number: 0, cursor: "" };
}

/** @param {LogRow[]} rows */
export function countChars(rows) {
  return rows.reduce((sum, { text }) => sum + text.length, 0);
}
