/** When a line of a log was written, in the view's time zone; else when it was read. */

const ISO = /^\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?\]?$/;

/** Names the day of a date that belongs to no time zone. */
const DATE = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});

/** How far back the day before a line is looked for, in rows. */
export const LOOK_BACK = 200;

/**
 * The time that is shown for a row.
 *
 * @param {{loggedAt: string, time: string}} row what its line says of itself, and when it was read, ISO 8601.
 * @param {import("./times.js").Times} times
 * @returns {{text: string, title: string, day: string, kind: "logged" | "unzoned" | "received" | ""}}
 *   `unzoned` is a time as the line has it, which names no zone; `received` when the server read a line that has
 *   no time of its own.
 */
export function timeOf({ loggedAt, time }, times) {
  const match = ISO.exec(loggedAt ?? "");
  const own = match && ownTime(match, times);
  if (own) return own;
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return { text: "", title: "", day: "", kind: "" };
  const title = `Read ${times.whole(at)}: the line has no time of its own`;
  return { text: times.clock(at), title, day: times.day(at), kind: "received" };
}

function ownTime([, date, clock, fraction, zone], times) {
  const thousandths = fraction ? `.${fraction.padEnd(3, "0").slice(0, 3)}` : "";
  const offset = (zone ?? "Z").replace(/(\d\d)(\d\d)$/, "$1:$2");
  const at = Date.parse(`${date}T${clock}${thousandths}${offset}`);
  if (Number.isNaN(at)) return null;
  if (zone) {
    const text = thousandths ? times.precise(at) : times.clock(at);
    return { text, title: times.whole(at), day: times.day(at), kind: "logged" };
  }
  const day = DATE.format(at);
  const title = `${day}, ${clock}, as the line has it: it names no time zone`;
  return { text: clock + thousandths, title, day, kind: "unzoned" };
}

/**
 * The day that begins with a row, "" where it is the same as that of the lines before, or today.
 *
 * @param {(index: number) => string} dayAt the day of a row, "" for none.
 * @param {number} index of the row.
 * @param {string} today
 */
export function dayBegun(dayAt, index, today) {
  const day = dayAt(index);
  if (!day) return "";
  for (let before = index - 1; before >= Math.max(0, index - LOOK_BACK); before -= 1) {
    const other = dayAt(before);
    if (other) return other === day ? "" : day;
  }
  return day === today ? "" : day;
}
