/** Roster: all jobs of one conductor, from the events of the roster stream. */

import { Conductors } from "./conductors.js";
import { notifiableState } from "./notify_rules.js";
import { statusTone } from "./status.js";

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
 * @property {number} [active_sheets] number of sheets at work.
 * @property {import("./job.js").Waiting} [waiting]
 * @property {number | null} [waited_s]
 * @property {string} [eta_at]
 * @property {number[]} [stalled] numbers of sheets.
 * @property {string} [error_message] its first 300 characters.
 * @property {number} [estimated_cost] US dollars.
 */

/**
 * @typedef {object} StatusChange change of the status, of the end, or of what a reader may be notified of.
 * @property {RosterEntry} job
 * @property {RosterEntry | undefined} previous undefined for a new job.
 */

export class Roster {
  /** @type {Map<string, RosterEntry>} */
  #jobs = new Map();
  /** @type {{source: string, live: boolean, detail?: string} | null} data of the last `source` event. */
  source = null;
  conductors = new Conductors();
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
      else if (event === "conductor") this.conductors.add(JSON.parse(data));
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
   * Return the jobs that match a filter, unordered.
   *
   * @param {{tone?: Tone | "", name?: string}} filter
   */
  list({ tone = "", name = "" }) {
    const text = name.toLowerCase();
    return this.all().filter(
      (job) =>
        (!tone || statusTone(job.status) === tone) && job.job_id.toLowerCase().includes(text),
    );
  }

  /**
   * @param {{complete: boolean, jobs: RosterEntry[], removed: string[]}} roster
   * @param {StatusChange[]} changes
   */
  #applyRoster({ complete, jobs, removed }, changes) {
    const known = this.isLoaded ? new Map(this.#jobs) : null;
    if (complete) this.#jobs.clear();
    for (const job of jobs) {
      const previous = known?.get(job.job_id);
      this.#jobs.set(job.job_id, job);
      if (known && (!previous || isOtherState(previous, job))) changes.push({ job, previous });
    }
    for (const jobId of removed) this.#jobs.delete(jobId);
    this.conductors.listedCount = this.countByTone().running ?? 0;
    this.isLoaded = true;
  }
}

/**
 * @param {RosterEntry} a
 * @param {RosterEntry} b
 */
function isOtherState(a, b) {
  const isOtherEnd = (a.completed_at ?? null) !== (b.completed_at ?? null);
  return a.status !== b.status || isOtherEnd || notifiableState(a) !== notifiableState(b);
}
