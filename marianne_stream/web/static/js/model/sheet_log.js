/** Lines of a job's log that were written while a sheet ran. */

/** @typedef {import("./log_rows.js").LogPageLine} LogPageLine */

const TIME = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?$/;

/**
 * Return the lines of a span. A line without a time belongs to the line before it.
 *
 * @param {LogPageLine[]} lines oldest first.
 * @param {{from: number, to: number}} span epoch milliseconds.
 */
export function linesWithin(lines, { from, to }) {
  let at = NaN;
  return lines.filter(({ logged_at: loggedAt }) => {
    if (loggedAt) at = lineMoment(loggedAt);
    return at >= from && at <= to;
  });
}

/**
 * Return the time of a line. One without a zone is taken to be in UTC, as the server does.
 *
 * @param {string} loggedAt
 */
function lineMoment(loggedAt) {
  const match = TIME.exec(loggedAt);
  if (!match) return NaN;
  const [, second, fraction = "0", zone = "Z"] = match;
  const offset = zone.replace(/(\d\d)(\d\d)$/, "$1:$2");
  return Date.parse(`${second.replace(" ", "T")}.${fraction.slice(0, 3)}${offset}`);
}
