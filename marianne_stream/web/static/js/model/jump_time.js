/** Time to which the reader jumps in a log: as a field of the page gives it, and for the server. */

import { lineTime } from "./log_line_time.js";

/** @typedef {import("./time_format.js").TimeFormat} TimeFormat */
/** @typedef {import("./log_rows.js").LogRow} LogRow */

/**
 * Return the value of a `datetime-local` field as the server's parameter `time`.
 *
 * @param {string} value `2026-11-24T03:05` or `2026-11-24T03:05:10`.
 * @param {"local" | "utc" | "written"} zone `written` for a log whose times have no zone.
 */
export function jumpTime(value, zone) {
  if (zone === "written") return value;
  return zone === "utc" ? `${value}Z` : new Date(value).toISOString();
}

/**
 * Return the zone in which times of a log are shown, and the time of the first row that has one.
 *
 * @param {LogRow[]} rows
 * @param {TimeFormat} times
 * @returns {{zone: "local" | "utc" | "written", value: string}} `value` is that of the field; "" for
 *   a log without times.
 */
export function jumpStart(rows, times) {
  for (const { loggedAt } of rows) {
    const { kind } = lineTime({ loggedAt }, times);
    if (kind === "unzoned") return { zone: "written", value: toField(loggedAt ?? "") };
    if (kind !== "logged") continue;
    const at = Date.parse(loggedAt ?? "");
    const shown = new Date(at + times.zoneOffset(at)).toISOString();
    return { zone: times.zone, value: toField(shown) };
  }
  return { zone: times.zone, value: "" };
}

/** @param {string} time ISO 8601. */
function toField(time) {
  return time.slice(0, "2026-11-24T03:05:10".length);
}
