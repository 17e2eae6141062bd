/** Conductors: their versions, limits and load, from the `conductor` events of the roster stream. */

/** @typedef {import("./server_clock.js").ServerClock} ServerClock */
/** @typedef {import("./time_format.js").TimeFormat} TimeFormat */

/**
 * @typedef {object} ConductorInfo data of a `conductor` event.
 * @property {string} [source_name]
 * @property {string} [version]
 * @property {boolean} [shutting_down]
 * @property {boolean} [accepting_work]
 * @property {number} [running_jobs]
 * @property {{max_concurrent_jobs?: number, max_concurrent_sheets?: number}} [limits]
 * @property {string} [pressure_level]
 * @property {{instrument: string, until: string}[]} [rate_limits]
 */

/** @typedef {{tone: import("./status.js").Tone, text: string}} ConductorNotice */

/** @type {Record<string, string>} */
const PRESSURE_EFFECTS = {
  low: "it delays sheets",
  medium: "it delays sheets",
  high: "it delays sheets and rejects new jobs",
  critical: "it delays sheets and rejects new jobs",
};

export class Conductors {
  /** @type {Map<string, ConductorInfo>} */
  #infos = new Map();
  /**
   * Number of running jobs in the roster. It is newer than what a conductor tells every 10 s, but does not
   * say which of several conductors they belong to.
   */
  listedCount = 0;

  /**
   * Add the newest information about a conductor.
   *
   * @param {ConductorInfo} info
   */
  add(info) {
    this.#infos.set(info.source_name ?? "", info);
  }

  /** Return how many places for jobs are in use, as words; "" if it is unknown. */
  loadText() {
    return [...this.#infos.values()]
      .filter(({ running_jobs: running }) => running !== undefined)
      .map((info) => {
        const count = this.#runningCount(info);
        const limit = info.limits?.max_concurrent_jobs;
        if (limit && count >= limit) return `${nameOf(info)}: all ${limit} places in use`;
        if (limit) return `${nameOf(info)}: ${count} of ${limit} places in use`;
        return `${nameOf(info)}: ${count} ${count === 1 ? "job runs" : "jobs run"}`;
      })
      .join(" · ");
  }

  /**
   * Return what makes jobs wait, as sentences.
   *
   * @param {ServerClock} clock
   * @param {TimeFormat} times
   * @returns {ConductorNotice[]}
   */
  notices(clock, times) {
    return [...this.#infos.values()].flatMap((info) => [
      ...stateNotices(info),
      ...(this.#isFull(info) ? [fullNotice(info)] : []),
      ...limitNotices(info, clock, times),
    ]);
  }

  /** Return why queued jobs do not start, as a sentence; "" if no conductor tells. */
  queueReason() {
    // A job does not say which of several conductors it belongs to.
    if (this.#infos.size !== 1) return "";
    const [info] = this.#infos.values();
    if (info.shutting_down) return "The conductor is shutting down.";
    if (this.#isFull(info)) {
      return `Waits for one of ${info.limits?.max_concurrent_jobs} places for jobs.`;
    }
    if (PRESSURE_EFFECTS[info.pressure_level ?? ""]) {
      return "The conductor's host is under pressure.";
    }
    return "";
  }

  /** @param {ConductorInfo} info */
  #runningCount({ running_jobs: running }) {
    if (running === undefined) return NaN;
    return this.#infos.size === 1 ? this.listedCount : running;
  }

  /** @param {ConductorInfo} info */
  #isFull(info) {
    const limit = info.limits?.max_concurrent_jobs;
    return Boolean(limit) && this.#runningCount(info) >= Number(limit);
  }
}

/** @param {ConductorInfo} info */
function nameOf({ source_name: name, version }) {
  const own = name ? `Conductor ${name}` : "Conductor";
  return version ? `${own} ${version}` : own;
}

/**
 * @param {ConductorInfo} info
 * @returns {ConductorNotice[]}
 */
function stateNotices(info) {
  const name = info.source_name ? `The conductor ${info.source_name}` : "The conductor";
  const effect = PRESSURE_EFFECTS[info.pressure_level ?? ""];
  /** @type {ConductorNotice[]} */
  const notices = [];
  if (info.shutting_down) notices.push({ tone: "paused", text: `${name} is shutting down.` });
  if (effect) {
    const text = `${name} is under ${info.pressure_level} pressure: ${effect}.`;
    notices.push({ tone: "paused", text });
  } else if (info.accepting_work === false && !info.shutting_down) {
    notices.push({ tone: "paused", text: `${name} accepts no new jobs at present.` });
  }
  return notices;
}

/**
 * @param {ConductorInfo} info
 * @returns {ConductorNotice}
 */
function fullNotice({ source_name: name, limits }) {
  const places = `All ${limits?.max_concurrent_jobs} places for jobs are taken`;
  const text = `${places}: the next job starts when one ends.`;
  return { tone: "waiting", text: name ? `The conductor ${name}: ${text}` : text };
}

/**
 * @param {ConductorInfo} info
 * @param {ServerClock} clock
 * @param {TimeFormat} times
 * @returns {ConductorNotice[]}
 */
function limitNotices({ rate_limits: limits = [] }, clock, times) {
  return limits.flatMap(({ instrument, until }) => {
    const at = Date.parse(until);
    if (!(at > clock.now())) return [];
    // Without the rest: screen readers read a notice again whenever its text changes.
    const text = `${instrument} has reached its rate limit until ${times.shortDateTime(at)}.`;
    return [{ tone: "waiting", text }];
  });
}
