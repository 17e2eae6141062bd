/** Rules of notifications: the states of which jobs a reader wants to hear of. */

import { isTerminal } from "./status.js";

/** @typedef {"failed" | "paused" | "person" | "ended"} NotifyKind */
/** @typedef {{job_id: string, status: string, waiting?: {code: string}}} NotifiableJob */

/** @type {Record<NotifyKind, string>} */
export const NOTIFY_LABELS = {
  failed: "It fails",
  paused: "It is paused",
  person: "It waits for a person",
  ended: "It is completed or cancelled",
};

export const NOTIFY_KINDS = /** @type {NotifyKind[]} */ (Object.keys(NOTIFY_LABELS));

/** Largest number of jobs with rules of their own: the oldest are dropped. */
const MAX_JOBS = 500;

/** Key of the rules for all jobs. */
export const ALL_JOBS = null;

/**
 * Return the state of a job that a reader may be notified of; null if it is in none.
 *
 * @param {Omit<NotifiableJob, "job_id">} job
 * @returns {NotifyKind | null}
 */
export function notifiableState({ status, waiting }) {
  if (status === "failed") return "failed";
  if (isTerminal(status)) return "ended";
  if (status === "paused_at_chain" || waiting?.code === "person") return "person";
  return status === "paused" ? "paused" : null;
}

export class NotifyRules {
  /** @type {Set<NotifyKind>} */
  #all;
  /** @type {Map<string, Set<NotifyKind>>} */
  #jobs;

  /** @param {unknown} [saved] result of `toJSON`, or whatever else was saved. */
  constructor(saved) {
    const { all, jobs } = /** @type {{all?: unknown, jobs?: unknown}} */ (saved ?? {});
    this.#all = parseKinds(all);
    const entries = Array.isArray(jobs) ? jobs.filter((entry) => Array.isArray(entry)) : [];
    this.#jobs = new Map(entries.map(([jobId, kinds]) => [String(jobId), parseKinds(kinds)]));
  }

  toJSON() {
    return {
      all: [...this.#all],
      jobs: [...this.#jobs].map(([jobId, kinds]) => [jobId, [...kinds]]),
    };
  }

  /** Ids of the jobs with rules of their own. */
  get jobIds() {
    return [...this.#jobs.keys()];
  }

  /** True if a rule for all jobs is on. */
  get hasAny() {
    return this.#all.size > 0;
  }

  /**
   * Return true if a rule is on.
   *
   * @param {string | null} jobId `ALL_JOBS` for the rules for all jobs.
   * @param {NotifyKind} kind
   */
  has(jobId, kind) {
    return Boolean((jobId === ALL_JOBS ? this.#all : this.#jobs.get(jobId))?.has(kind));
  }

  /**
   * Return true if a job has a rule of its own.
   *
   * @param {string} jobId
   */
  hasJob(jobId) {
    return this.#jobs.has(jobId);
  }

  /**
   * Turn a rule on or off.
   *
   * @param {string | null} jobId `ALL_JOBS` for the rules for all jobs.
   * @param {NotifyKind} kind
   * @param {boolean} isOn
   */
  set(jobId, kind, isOn) {
    const kinds = jobId === ALL_JOBS ? this.#all : (this.#jobs.get(jobId) ?? new Set());
    if (isOn) kinds.add(kind);
    else kinds.delete(kind);
    if (jobId === ALL_JOBS) return;
    this.#jobs.delete(jobId);
    if (kinds.size) this.#jobs.set(jobId, kinds);
    for (const oldest of this.jobIds.slice(0, -MAX_JOBS)) this.#jobs.delete(oldest);
  }

  /**
   * Return what a changed job is to be notified of; null for nothing. The rules of a job end with it.
   *
   * @param {NotifiableJob} job
   * @param {NotifiableJob} [previous] state before the change; undefined if it is unknown: the rules
   *   for all jobs then do not apply.
   * @returns {NotifyKind | null}
   */
  take(job, previous) {
    const kind = notifiableState(job);
    const isNew = !previous || notifiableState(previous) !== kind;
    const isOwn = kind !== null && this.has(job.job_id, kind);
    if (isTerminal(job.status)) this.#jobs.delete(job.job_id);
    if (kind === null || !isNew) return null;
    return isOwn || (previous && this.#all.has(kind)) ? kind : null;
  }
}

/**
 * @param {unknown} kinds
 * @returns {Set<NotifyKind>}
 */
function parseKinds(kinds) {
  const wanted = Array.isArray(kinds) ? kinds : [];
  return new Set(NOTIFY_KINDS.filter((kind) => wanted.includes(kind)));
}
