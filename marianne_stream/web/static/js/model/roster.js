/** Roster: all jobs of one conductor, from the events of the roster stream. */

import { attentionRank, statusTone } from "./status.js";

/** @typedef {import("./status.js").Tone} Tone */

/**
 * @typedef {object} RosterEntry
 * @property {string} job_id
 * @property {string} status
 * @property {string | null} [submitted_at]
 * @property {string | null} [started_at]
 * @property {string | null} [completed_at]
 * @property {string | null} [last_progress_at]
 * @property {number | null} [completed_sheets]
 * @property {number | null} [total_sheets]
 * @property {number | null} [current_sheet]
 */

/**
 * @typedef {object} StatusChange
 * @property {RosterEntry} job
 * @property {string | undefined} previous status; undefined for a new job.
 */

/** @typedef {"attention" | "newest" | "name"} RosterOrder */

export class Roster {
  /** @type {Map<string, RosterEntry>} */
  #jobs = new Map();
  /** @type {{source: string, live: boolean} | null} data of the last `source` event. */
  source = null;
  /** True if the first roster has been received. */
  isLoaded = false;

  /**
   * Apply events of the stream.
   *
   * @param {import("../wire/event_parser.js").ServerSentEvent[]} events
   * @returns {StatusChange[]} changes of status since the first roster.
   */
  applyEvents(events) {
    /** @type {StatusChange[]} */
    const changes = [];
    for (const { event, data } of events) {
      if (event === "source") this.source = JSON.parse(data);
      else if (event === "roster") this.#applyRoster(JSON.parse(data), changes);
    }
    return changes;
  }

  get size() {
    return this.#jobs.size;
  }

  /** Return all jobs, unordered. */
  all() {
    return [...this.#jobs.values()];
  }

  /** @param {string} jobId */
  get(jobId) {
    return this.#jobs.get(jobId);
  }

  /** Return the number of jobs of each tone. */
  countByTone() {
    /** @type {Partial<Record<Tone, number>>} */
    const counts = {};
    for (const { status } of this.#jobs.values()) {
      const tone = statusTone(status);
      counts[tone] = (counts[tone] ?? 0) + 1;
    }
    return counts;
  }

  /**
   * Return the jobs that match a filter, ordered.
   *
   * @param {{tone?: Tone | "", name?: string, order?: RosterOrder}} filter
   * @param {number} now server time, epoch milliseconds.
   */
  list({ tone = "", name = "", order = "attention" }, now) {
    const text = name.toLowerCase();
    const jobs = this.all().filter(
      (job) =>
        (!tone || statusTone(job.status) === tone) && job.job_id.toLowerCase().includes(text),
    );
    return jobs.sort(COMPARERS[order](now));
  }

  /**
   * @param {{complete: boolean, jobs: RosterEntry[], removed: string[]}} roster
   * @param {StatusChange[]} changes
   */
  #applyRoster({ complete, jobs, removed }, changes) {
    const known = this.isLoaded ? new Map(this.#jobs) : null;
    if (complete) this.#jobs.clear();
    for (const job of jobs) {
      const previous = known?.get(job.job_id)?.status;
      this.#jobs.set(job.job_id, job);
      if (known && previous !== job.status) changes.push({ job, previous });
    }
    for (const jobId of removed) this.#jobs.delete(jobId);
    this.isLoaded = true;
  }
}

/** @typedef {(a: RosterEntry, b: RosterEntry) => number} Comparer */

/** @type {Comparer} */
const newestFirst = (a, b) => (b.submitted_at ?? "").localeCompare(a.submitted_at ?? "");
/** @type {Comparer} */
const byName = (a, b) => a.job_id.localeCompare(b.job_id);

/** @type {Record<RosterOrder, (now: number) => Comparer>} */
const COMPARERS = {
  attention: (now) => (a, b) =>
    attentionRank(a, now) - attentionRank(b, now) || newestFirst(a, b) || byName(a, b),
  newest: () => (a, b) => newestFirst(a, b) || byName(a, b),
  name: () => byName,
};
