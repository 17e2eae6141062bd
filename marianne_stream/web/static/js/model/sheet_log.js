/** Lines of a job's log that were written while a sheet ran. */

import { parseLoggedTime } from "./job_lines.js";

/** @typedef {import("./log_rows.js").LogPageLine} LogPageLine */

/**
 * Return the lines of a span on a page. A line without a time belongs to the line before it.
 *
 * @param {{lines: LogPageLine[], before: string | null}} page that ends with the span.
 * @param {{from: number, to: number}} span epoch milliseconds.
 * @param {string} localOffset of the server's local time from UTC: `+0100`.
 * @returns {{lines: LogPageLine[], isComplete: boolean}} complete if none can be before the page.
 */
export function spanLines({ lines, before }, { from, to }, localOffset) {
  let at = NaN;
  let isComplete = before === null;
  const found = lines.filter(({ logged_at: loggedAt }) => {
    if (loggedAt) at = parseLoggedTime(loggedAt, localOffset);
    if (at < from) isComplete = true;
    return at >= from && at <= to;
  });
  return { lines: found, isComplete };
}
