/** Rules of notifications: the states of which jobs a reader wants to hear of. */

import { isSameMoment, makeMoment, momentOf } from "./run_moment.js";
import { isTerminal } from "./status.js";

/** @typedef {"failed" | "paused" | "person" | "ended"} NotifyKind */

/**
 * @typedef {object} NotifiableJob
 * @property {string} job_id
 * @property {string} status
 * @property {{code: string}} [waiting]
 * @property {string | null} [submitted_at]
 * @property {string | null} [completed_at]
 */

/** @typedef {{kind: NotifyKind, moment: import("./run_moment.js").RunMoment}} NotifiableState */

/**
 * @typedef {object} JobRule
 * @property {Set<NotifyKind>} kinds
 * @property {NotifiableState | null} known state of the job when the rule was made, or last looked at: the
 *   reader is not notified of it again.
 */

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
  /** @type {Map<string, JobRule>} */
  #jobs;

  /** @param {unknown} [saved] result of `toJSON`, or whatever else was saved. */
  constructor(saved) {
    const { all, jobs } = /** @type {{all?: unknown, jobs?: unknown}} */ (saved ?? {});
    this.#all = parseKinds(all);
    const entries = Array.isArray(jobs) ? jobs.filter((entry) => Array.isArray(entry)) : [];
    this.#jobs = new Map(
      entries.map(([jobId, kinds, known]) => [
        String(jobId),
        { kinds: parseKinds(kinds), known: parseState(known) },
      ]),
    );
  }

  toJSON() {
    return {
      all: [...this.#all],
      jobs: [...this.#jobs].map(([jobId, { kinds, known }]) => [jobId, [...kinds], known]),
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
    return Boolean((jobId === ALL_JOBS ? this.#all : this.#jobs.get(jobId)?.kinds)?.has(kind));
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
   * @param {NotifiableJob} [job] present state of the job, of which the reader is not notified.
   */
  set(jobId, kind, isOn, job) {
    const kinds = jobId === ALL_JOBS ? this.#all : (this.#jobs.get(jobId)?.kinds ?? new Set());
    if (isOn) kinds.add(kind);
    else kinds.delete(kind);
    if (jobId === ALL_JOBS) return;
    this.#jobs.delete(jobId);
    if (kinds.size) this.#jobs.set(jobId, { kinds, known: job ? stateOf(job) : null });
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
    const isOther = Boolean(previous && notifiableState(previous) !== kind);
    const isOwn = this.#takeOwn(job, { isOther, isLoad: !previous });
    return isOwn || (isOther && kind !== null && this.#all.has(kind)) ? kind : null;
  }

  /**
   * @param {NotifiableJob} job
   * @param {{isOther: boolean, isLoad: boolean}} change neither if only its times have changed.
   * @returns {boolean} true if the job's own rules ask for a notification.
   */
  #takeOwn(job, { isOther, isLoad }) {
    const rule = this.#jobs.get(job.job_id);
    if (!rule) return false;
    const state = stateOf(job);
    // A failure is known before its end, which may be recorded while the page is closed.
    const known = isLoad && state ? withEnd(rule.known, state) : rule.known;
    const isNew = (isOther || isLoad) && state !== null && !isSameState(state, known);
    rule.known = state;
    if (isNew && isTerminal(job.status)) this.#jobs.delete(job.job_id);
    return isNew && rule.kinds.has(state.kind);
  }
}

/**
 * @param {NotifiableJob} job
 * @returns {NotifiableState | null}
 */
function stateOf(job) {
  const kind = notifiableState(job);
  return kind && { kind, moment: momentOf(job) };
}

/**
 * @param {NotifiableState} a
 * @param {NotifiableState | null} b
 */
function isSameState(a, b) {
  return a.kind === b?.kind && isSameMoment(a.moment, b.moment);
}

/**
 * Return a known state whose end was unknown with the end of the present one.
 *
 * @param {NotifiableState | null} known
 * @param {NotifiableState} state
 */
function withEnd(known, { moment: { ended } }) {
  if (!known || known.moment.ended !== null) return known;
  return { ...known, moment: { ...known.moment, ended } };
}

/**
 * @param {unknown} state
 * @returns {NotifiableState | null}
 */
function parseState(state) {
  const { kind, moment } = /** @type {Partial<NotifiableState>} */ (state ?? {});
  const known = NOTIFY_KINDS.find((one) => one === kind);
  return known ? { kind: known, moment: makeMoment(moment?.submitted, moment?.ended) } : null;
}

/**
 * @param {unknown} kinds
 * @returns {Set<NotifyKind>}
 */
function parseKinds(kinds) {
  const wanted = Array.isArray(kinds) ? kinds : [];
  return new Set(NOTIFY_KINDS.filter((kind) => wanted.includes(kind)));
}
