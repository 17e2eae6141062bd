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
export function ago(ms, now) {
  const past = now - ms;
  if (Number.isNaN(past)) return "";
  if (past < 2_000) return "now";
  if (past < MINUTE) return `${Math.floor(past / 1000)} s ago`;
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
  return `${Math.floor(past / DAY)} d ago`;
}

/** The forms of a moment, each of 24 hours. */
const FORMS = {
  minute: { hour: "2-digit", minute: "2-digit" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  fraction: { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
  dayAndMonth: { day: "numeric", month: "short" },
  day: { day: "numeric", month: "short", year: "numeric" },
  zone: { timeZoneName: "short" },
};

/** Moments in one time zone: the browser's own, or UTC. */
export class Times {
  #clock;
  #zone = "local";
  #formats = {};

  /** @param {import("./server_clock.js").ServerClock} clock tells which day is today. */
  constructor(clock) {
    this.#clock = clock;
  }

  /** `local` or `utc`. */
  get zone() {
    return this.#zone;
  }

  set zone(zone) {
    this.#zone = zone;
    this.#formats = {};
  }

  /** The zone's short name, as of now: `UTC`, `CET`, `GMT+5:30`. */
  get zoneName() {
    return this.#zoneName(this.#clock.now());
  }

  /** When: the time of a day that is today, else the day, too. */
  moment(ms) {
    if (!isTime(ms)) return "";
    const time = this.#format("minute", ms);
    return this.isToday(ms) ? time : `${this.#format("dayAndMonth", ms)}, ${time}`;
  }

  /** The time of day, to the second. */
  clock(ms) {
    return isTime(ms) ? this.#format("second", ms) : "";
  }

  /** The time of day, to the millisecond. */
  precise(ms) {
    return isTime(ms) ? this.#format("fraction", ms) : "";
  }

  /** The day: `24 Nov 2026`. */
  day(ms) {
    return isTime(ms) ? this.#format("day", ms) : "";
  }

  /** When, whole, with the zone. */
  whole(ms) {
    return isTime(ms) ? `${this.day(ms)}, ${this.clock(ms)} ${this.#zoneName(ms)}` : "";
  }

  /** Which day it is: "" while the server's time is not known. */
  get today() {
    return this.day(this.#clock.now());
  }

  isToday(ms) {
    return this.day(ms) === this.today;
  }

  #zoneName(ms) {
    const parts = this.#formatter("zone").formatToParts(isTime(ms) ? ms : undefined);
    return parts.find(({ type }) => type === "timeZoneName").value;
  }

  #format(form, ms) {
    return this.#formatter(form).format(ms);
  }

  /** The page is in English, and so are its dates, whatever the browser's language. */
  #formatter(form) {
    this.#formats[form] ??= new Intl.DateTimeFormat("en-GB", {
      ...FORMS[form],
      hourCycle: "h23",
      timeZone: this.#zone === "utc" ? "UTC" : undefined,
    });
    return this.#formats[form];
  }
}

/** Bytes as a person reads them. */
export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  const units = ["KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log2(count) / 10), units.length);
  return `${(count / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** Whether a calendar has it (ECMA-262 section 21.4.1.1). */
function isTime(ms) {
  return ms !== null && Math.abs(ms) <= 8.64e15;
}

function two(number) {
  return String(number).padStart(2, "0");
}
