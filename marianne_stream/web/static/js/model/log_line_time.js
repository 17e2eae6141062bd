/** Time of a log line: the time in the line if it has one, otherwise the time at which it was read. */

/** @typedef {import("./time_format.js").TimeFormat} TimeFormat */

/**
 * @typedef {object} LineTime
 * @property {string} text "" if the time is unknown.
 * @property {string} title the full date and time.
 * @property {string} day
 * @property {"logged" | "unzoned" | "received" | ""} kind `unzoned` for a time in the line that names
 *   no time zone, which is shown as it is; `received` for the time at which the server read a line
 *   that contains no time.
 */

const ISO = /^\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?\]?$/;

/** Format of a date without a time zone. */
const DATE = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});

/** Number of earlier rows that are searched for the date of the previous line. */
export const MAX_LOOKBACK_ROWS = 200;

/**
 * Return the time to show for a row.
 *
 * @param {{loggedAt?: string, time?: string}} row time in the line, and time of its reception,
 *   ISO 8601.
 * @param {TimeFormat} times
 * @returns {LineTime}
 */
export function lineTime({ loggedAt, time }, times) {
  const match = ISO.exec(loggedAt ?? "");
  const logged = match && loggedTime(match, times);
  if (logged) return logged;
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return { text: "", title: "", day: "", kind: "" };
  const title = `Read ${times.fullDateTime(at)}; the line contains no time`;
  return { text: times.timeOfDay(at), title, day: times.day(at), kind: "received" };
}

/**
 * @param {RegExpExecArray} match of `ISO`.
 * @param {TimeFormat} times
 * @returns {LineTime | null} null if it is not a valid time.
 */
function loggedTime([, date, clock, fraction, zone], times) {
  const milliseconds = fraction ? `.${fraction.padEnd(3, "0").slice(0, 3)}` : "";
  const offset = (zone ?? "Z").replace(/(\d\d)(\d\d)$/, "$1:$2");
  const at = Date.parse(`${date}T${clock}${milliseconds}${offset}`);
  if (Number.isNaN(at)) return null;
  if (zone) {
    const text = milliseconds ? times.preciseTimeOfDay(at) : times.timeOfDay(at);
    return { text, title: times.fullDateTime(at), day: times.day(at), kind: "logged" };
  }
  const day = DATE.format(at);
  const title = `${day}, ${clock}, as written in the line (no time zone)`;
  return { text: clock + milliseconds, title, day, kind: "unzoned" };
}

/**
 * Return the day heading above a row: "" if the day is that of the rows before, or today.
 *
 * @param {(index: number) => string} dayAt day of a row, "" if unknown.
 * @param {number} index of the row.
 * @param {string} today
 */
export function dayHeading(dayAt, index, today) {
  const day = dayAt(index);
  if (!day) return "";
  for (let before = index - 1; before >= Math.max(0, index - MAX_LOOKBACK_ROWS); before -= 1) {
    const other = dayAt(before);
    if (other) return other === day ? "" : day;
  }
  return day === today ? "" : day;
}
