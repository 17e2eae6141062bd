/** Failures that a reader has marked as seen. A job that fails again, in a new run or after a resume, is not. */

import { isSameMoment, makeMoment, momentOf } from "./run_moment.js";

/** @typedef {import("./roster.js").RosterEntry} RosterEntry */

/** Largest number of marks: the oldest are dropped. A conductor lists 1,000 jobs. */
const MAX_MARKS = 5_000;

export class SeenFailures {
  /** @type {Map<string, import("./run_moment.js").RunMoment>} */
  #marks;

  /** @param {unknown} [saved] result of `toJSON`, or whatever else was saved. */
  constructor(saved) {
    const entries = Array.isArray(saved) ? saved.filter((entry) => Array.isArray(entry)) : [];
    this.#marks = new Map(
      entries.map(([jobId, submitted, ended]) => [String(jobId), makeMoment(submitted, ended)]),
    );
  }

  toJSON() {
    return [...this.#marks].map(([jobId, { submitted, ended }]) => [jobId, submitted, ended]);
  }

  /**
   * Return true if the failure of a job was marked.
   *
   * @param {RosterEntry} job
   */
  has(job) {
    const mark = this.#marks.get(job.job_id);
    return mark !== undefined && isSameMoment(mark, momentOf(job));
  }

  /**
   * Mark the failure of a job, or remove the mark.
   *
   * @param {RosterEntry} job
   * @param {boolean} isSeen
   */
  set(job, isSeen) {
    this.#marks.delete(job.job_id);
    if (isSeen) this.#marks.set(job.job_id, momentOf(job));
    for (const oldest of [...this.#marks.keys()].slice(0, -MAX_MARKS)) this.#marks.delete(oldest);
  }

  /**
   * Keep the mark of a failure whose end has become known.
   *
   * @param {RosterEntry} job
   * @param {RosterEntry} previous state before the change.
   * @returns {boolean} true if the marks have changed.
   */
  followChange(job, previous) {
    const isSameFailure = job.status === "failed" && previous.status === "failed";
    const isEndNew = !previous.completed_at && Boolean(job.completed_at);
    if (!isSameFailure || !isEndNew || !this.has(previous)) return false;
    this.set(job, true);
    return true;
  }
}
