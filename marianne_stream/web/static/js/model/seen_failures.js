/** Failures that a reader has marked as seen. A job that fails again, in a new run or after a resume, is not. */

/** @typedef {import("./roster.js").RosterEntry} RosterEntry */

/** Times of the same failure may differ by the rounding of their sources. */
const SAME_TIME_MS = 1_000;

/** Largest number of marks: the oldest are dropped. A conductor lists 1,000 jobs. */
const MAX_MARKS = 5_000;

export class SeenFailures {
  /** @type {Map<string, {submitted: number | null, ended: number | null}>} */
  #marks;

  /** @param {unknown} [saved] result of `toJSON`, or whatever else was saved. */
  constructor(saved) {
    const entries = Array.isArray(saved) ? saved.filter((entry) => Array.isArray(entry)) : [];
    this.#marks = new Map(
      entries.map(([jobId, submitted, ended]) => [
        String(jobId),
        { submitted: numberOrNull(submitted), ended: numberOrNull(ended) },
      ]),
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
    if (!mark) return false;
    const { submitted, ended } = markOf(job);
    return isSameTime(mark.submitted, submitted) && isSameTime(mark.ended, ended);
  }

  /**
   * Mark the failure of a job, or remove the mark.
   *
   * @param {RosterEntry} job
   * @param {boolean} isSeen
   */
  set(job, isSeen) {
    this.#marks.delete(job.job_id);
    if (isSeen) this.#marks.set(job.job_id, markOf(job));
    for (const oldest of [...this.#marks.keys()].slice(0, -MAX_MARKS)) this.#marks.delete(oldest);
  }
}

/** @param {RosterEntry} job */
function markOf(job) {
  return {
    submitted: numberOrNull(Date.parse(job.submitted_at ?? "")),
    ended: numberOrNull(Date.parse(job.completed_at ?? "")),
  };
}

/** @param {unknown} value */
function numberOrNull(value) {
  return typeof value === "number" && !Number.isNaN(value) ? value : null;
}

/**
 * @param {number | null} a
 * @param {number | null} b
 * @returns {boolean} true also if one is unknown: it may become known after the mark.
 */
function isSameTime(a, b) {
  return a === null || b === null || Math.abs(a - b) <= SAME_TIME_MS;
}
