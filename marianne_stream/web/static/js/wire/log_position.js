/** Positions in a log, as the cursors of its lines give them: the file, and the number of the line. */

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} LogPosition
 * @property {string} file inode and hash of the first line, which identify a file.
 * @property {number} number of the line.
 * @property {string} key the cursor without its prefix.
 */

/** A cursor behind a whole line (docs/reference/cursors.md). */
const CURSOR = /^[lcx]-([0-9a-f]+-[0-9a-f]{16})-[0-9]+-([0-9]+)-[0-9a-f]{16}$/;

/** Reasons of events behind which earlier positions in the same file are invalid. */
const CUT_REASONS = new Set(["truncated", "cursor_expired"]);

/**
 * Return the position of a cursor; null if it is none behind a whole line of a log.
 *
 * @param {string} cursor
 * @returns {LogPosition | null}
 */
export function parseLogPosition(cursor) {
  const match = cursor.match(CURSOR);
  return match && { file: match[1], number: Number(match[2]), key: cursor.slice(1) };
}

/**
 * Return the index of the last line at or before a position; -1 for none. Other events may have the
 * cursor of the line before them.
 *
 * @param {ServerSentEvent[]} events
 * @param {LogPosition} position
 */
export function indexOfPosition(events, { file, number }) {
  return events.findLastIndex(({ event, id }) => {
    const found = event === "log" ? parseLogPosition(id) : null;
    return found !== null && found.file === file && found.number <= number;
  });
}

/**
 * Return the events behind a position. A log that was cut often begins with the same line, and so is
 * the same file: behind the cut, only the very line of the position is at or before it.
 *
 * @param {ServerSentEvent[]} events
 * @param {LogPosition} position
 */
export function eventsBehind(events, position) {
  const exact = events.findLastIndex(({ event, id }) => {
    return event === "log" && id.slice(1) === position.key;
  });
  const cut = events.findIndex(isCut);
  const end = cut < 0 ? events.length : cut;
  const last = exact < 0 ? indexOfPosition(events.slice(0, end), position) : exact;
  return events.slice(last + 1).filter(({ event, data }, index) => {
    const isBehindCut = last + 1 + index > end;
    return event !== "log_partial" || isBehindCut || JSON.parse(data).line_number > position.number;
  });
}

/**
 * Return true if earlier positions in the same file are invalid behind an event.
 *
 * @param {ServerSentEvent} event
 */
export function isCut({ event, data }) {
  const mayBeCut = event === "log_rotated" || event === "log_gap";
  return mayBeCut && CUT_REASONS.has(JSON.parse(data).reason);
}
