/** Lines of a job's log that were written while a sheet ran. */

import { addOffset, parseLoggedTime } from "./job_lines.js";

/** @typedef {import("./log_rows.js").LogPageLine} LogPageLine */

/**
 * Return the lines of a span on a page. A line without a time belongs to the line before it. Times
 * without an offset get that of the server, so that all times of the sheet are shown in one zone.
 *
 * @param {{lines: LogPageLine[], before: string | null}} page that ends with the span.
 * @param {{from: number, to: number}} span epoch milliseconds.
 * @param {string} localOffset of the server's local time from UTC: `+0100`.
 * @returns {{lines: LogPageLine[], isComplete: boolean}} complete if none can be before the page.
 */
export function spanLines({ lines, before }, { from, to }, localOffset) {
  let at = NaN;
  let isComplete = before === null;
  const found = lines.flatMap((line) => {
    const zoned = line.logged_at && addOffset(line.logged_at, localOffset);
    if (zoned) at = parseLoggedTime(zoned, localOffset);
    if (at < from) isComplete = true;
    return at >= from && at <= to ? [{ ...line, logged_at: zoned }] : [];
  });
  return { lines: found, isComplete };
}
