/** Formats of times, durations and sizes. Times are epoch milliseconds. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Format a duration: `8 s`, `3 min 05 s`, `2 h 07 min`, `4 d 3 h`; "" if it is not known.
 *
 * @param {number} ms
 */
export function formatDuration(ms) {
  if (!(ms >= 0)) return "";
  const [s, min, h, d] = [ms / 1000, ms / MINUTE, ms / HOUR, ms / DAY].map(Math.floor);
  if (ms < MINUTE) return `${s} s`;
  if (ms < HOUR) return `${min} min ${twoDigits(s % 60)} s`;
  if (ms < DAY) return `${h} h ${twoDigits(min % 60)} min`;
  return `${d} d ${h % 24} h`;
}

/**
 * Format a duration of something that is over: below 10 s with tenths of a second, `0.4 s`.
 *
 * @param {number} ms
 */
export function formatShortDuration(ms) {
  if (ms >= 0 && ms < 50) return "< 0.1 s";
  return ms >= 0 && ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : formatDuration(ms);
}

/**
 * Format the time since a moment: `now`, `12 s ago`, `5 min ago`; "" if it is not known.
 *
 * @param {number} ms
 * @param {number} now
 */
export function formatAge(ms, now) {
  const age = now - ms;
  if (Number.isNaN(age)) return "";
  if (age < 2_000) return "now";
  if (age < MINUTE) return `${Math.floor(age / 1000)} s ago`;
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min ago`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h ago`;
  return `${Math.floor(age / DAY)} d ago`;
}

/**
 * Format a number of bytes.
 *
 * @param {number} count
 */
export function formatBytes(count) {
  if (count < 1024) return `${count} bytes`;
  const units = ["KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log2(count) / 10), units.length);
  return `${(count / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const FORMATS = {
  minute: { hour: "2-digit", minute: "2-digit" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  tenth: { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 },
  fraction: { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
  dayAndMonth: { day: "numeric", month: "short" },
  day: { day: "numeric", month: "short", year: "numeric" },
  year: { year: "numeric" },
  zone: { timeZoneName: "short" },
};

/** Formats of times in one time zone: the browser's own, or UTC. Hours are 0 to 23. */
export class TimeFormat {
  #clock;
  /** @type {"local" | "utc"} */
  #zone = "local";
  /** @type {Record<string, Intl.DateTimeFormat>} */
  #formatters = {};

  /** @param {{now: () => number}} clock for the date of today. */
  constructor(clock) {
    this.#clock = clock;
  }

  get zone() {
    return this.#zone;
  }

  set zone(zone) {
    this.#zone = zone;
    this.#formatters = {};
  }

  /** Short name of the zone as of now: `UTC`, `CET`, `GMT+5:30`. */
  get zoneName() {
    return this.#zoneName(this.#clock.now());
  }

  /**
   * Format a time as hours and minutes, with the day unless it is today, and with the year unless it is
   * this year.
   *
   * @param {number} ms
   */
  shortDateTime(ms) {
    if (!isValidTime(ms)) return "";
    const time = this.#format("minute", ms);
    if (this.isToday(ms)) return time;
    const now = this.#clock.now();
    const isThisYear = isValidTime(now) && this.#format("year", ms) === this.#format("year", now);
    return `${this.#format(isThisYear ? "dayAndMonth" : "day", ms)}, ${time}`;
  }

  /**
   * Format two times as `shortDateTime` does. If only the first is of another day, the second is of today.
   *
   * @param {number} from
   * @param {number} to
   */
  shortSpan(from, to) {
    const isOnlyEndToday = this.isToday(to) && !this.isToday(from);
    const end = this.shortDateTime(to);
    return `${this.shortDateTime(from)} to ${isOnlyEndToday ? `today, ${end}` : end}`;
  }

  /**
   * Format a time to the second, with the day unless it is today.
   *
   * @param {number} ms
   */
  dateTime(ms) {
    return [this.isToday(ms) ? "" : this.day(ms), this.timeOfDay(ms)].filter(Boolean).join(", ");
  }

  /**
   * Format the time of day, to the second.
   *
   * @param {number | null} ms
   */
  timeOfDay(ms) {
    return isValidTime(ms) ? this.#format("second", ms) : "";
  }

  /**
   * Format the time of day, to the millisecond.
   *
   * @param {number | null} ms
   */
  preciseTimeOfDay(ms) {
    return isValidTime(ms) ? this.#format("fraction", ms) : "";
  }

  /**
   * Format the day: `24 Nov 2026`.
   *
   * @param {number | null} ms
   */
  day(ms) {
    return isValidTime(ms) ? this.#format("day", ms) : "";
  }

  /**
   * Format day, time of day and zone.
   *
   * @param {number | null} ms
   */
  fullDateTime(ms) {
    return isValidTime(ms) ? `${this.day(ms)}, ${this.timeOfDay(ms)} ${this.#zoneName(ms)}` : "";
  }

  /**
   * Format the time at a tick of an axis, as precisely as the distance of its ticks needs.
   *
   * @param {number} ms
   * @param {number} step distance of the ticks, in milliseconds.
   */
  axisTime(ms, step) {
    if (!isValidTime(ms)) return "";
    if (step < 1000) return this.#format("tenth", ms);
    return this.#format(step < MINUTE ? "second" : step < DAY ? "minute" : "dayAndMonth", ms);
  }

  /**
   * Return the offset of the zone from UTC at a time, in milliseconds.
   *
   * @param {number} ms
   */
  zoneOffset(ms) {
    return this.#zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset() * MINUTE;
  }

  /** Day of today; "" while the server's time is unknown. */
  get today() {
    return this.day(this.#clock.now());
  }

  /** @param {number | null} ms */
  isToday(ms) {
    return this.day(ms) === this.today;
  }

  /** @param {number} ms */
  #zoneName(ms) {
    const parts = this.#formatter("zone").formatToParts(isValidTime(ms) ? ms : undefined);
    return parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
  }

  /**
   * @param {string} name of a format.
   * @param {number} ms
   */
  #format(name, ms) {
    return this.#formatter(name).format(ms);
  }

  /** @param {string} name of a format; dates are English, as the page is, in any browser. */
  #formatter(name) {
    this.#formatters[name] ??= new Intl.DateTimeFormat("en-GB", {
      ...FORMATS[name],
      hourCycle: "h23",
      timeZone: this.#zone === "utc" ? "UTC" : undefined,
    });
    return this.#formatters[name];
  }
}

/**
 * Return true for a time within the range of `Date` (ECMA-262 section 21.4.1.1).
 *
 * @param {number | null} ms
 * @returns {ms is number}
 */
function isValidTime(ms) {
  return ms !== null && Math.abs(ms) <= 8.64e15;
}

/** @param {number} number */
function twoDigits(number) {
  return String(number).padStart(2, "0");
}
