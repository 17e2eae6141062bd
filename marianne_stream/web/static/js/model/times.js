/** Times and durations as a person reads them. Arguments are epoch milliseconds. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long: `8 s`, `3 min 05 s`, `2 h 07 min`, `4 d 3 h`. */
export function duration(ms) {
  if (!(ms >= 0)) return "";
  const [s, min, h, d] = [ms / 1000, ms / MINUTE, ms / HOUR, ms / DAY].map(Math.floor);
  if (ms < MINUTE) return `${s} s`;
  if (ms < HOUR) return `${min} min ${two(s % 60)} s`;
  if (ms < DAY) return `${h} h ${two(min % 60)} min`;
  return `${d} d ${h % 24} h`;
}

/** How long ago, roughly: `now`, `12 s ago`, `5 min ago`. */
export function ago(ms, now = Date.now()) {
  const past = now - ms;
  if (Number.isNaN(past)) return "";
  if (past < 2_000) return "now";
  if (past < MINUTE) return `${Math.floor(past / 1000)} s ago`;
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
  return `${Math.floor(past / DAY)} d ago`;
}

/** When: the time of a day that is today, else the day, too. */
export function moment(ms, now = Date.now()) {
  if (Number.isNaN(ms) || ms === null) return "";
  const at = new Date(ms);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const today = new Date(now).toDateString() === at.toDateString();
  return today ? time : `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** When, to the second. */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

/** When, whole, for who asks. */
export function whole(ms) {
  return Number.isNaN(ms) ? "" : new Date(ms).toLocaleString();
}

/** Bytes as a person reads them. */
export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  const units = ["KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log2(count) / 10), units.length);
  return `${(count / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}
