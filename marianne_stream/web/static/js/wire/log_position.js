/** Positions in a log, as the cursors of its lines give them: the file, and the number of the line. */

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} LogPosition
 * @property {string} file inode and hash of the first line, which identify a file.
 * @property {number} number of the line.
 */

/** A cursor behind a whole line (docs/reference/cursors.md). */
const CURSOR = /^[lcx]-([0-9a-f]+-[0-9a-f]{16})-[0-9]+-([0-9]+)-[0-9a-f]{16}$/;

/**
 * Return the position of a cursor; null if it is none behind a whole line of a log.
 *
 * @param {string} cursor
 * @returns {LogPosition | null}
 */
export function parseLogPosition(cursor) {
  const match = cursor.match(CURSOR);
  return match && { file: match[1], number: Number(match[2]) };
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
 * Return the events behind a position.
 *
 * @param {ServerSentEvent[]} events
 * @param {LogPosition} position
 */
export function eventsBehind(events, position) {
  const behind = events.slice(indexOfPosition(events, position) + 1);
  return behind.filter(({ event, data }) => {
    return event !== "log_partial" || JSON.parse(data).line_number > position.number;
  });
}
