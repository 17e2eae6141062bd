/** Sections of the job list: which jobs are in each, and in which order. */

import { isTerminal, statusTone } from "./status.js";
import { jobDuration, lastChange } from "./job_times.js";

/** @typedef {import("./roster.js").RosterEntry} RosterEntry */
/** @typedef {"attention" | "running" | "queued" | "done"} SectionKey */
/** @typedef {"failed" | "person" | "paused" | "stalled"} AttentionReason */
/** @typedef {"status" | "name" | "sheets" | "duration" | "ends" | "cost" | "changed"} SortKey */
/** @typedef {{key: SortKey, isAscending: boolean}} Sort */
/** @typedef {Record<SectionKey, RosterEntry[]>} Sections */
/** @typedef {(job: RosterEntry) => boolean} IsSeen whether a failure was marked as seen. */

/** @type {Record<SectionKey, string>} in the order in which the page shows them. */
export const SECTION_LABELS = {
  attention: "Needs you",
  running: "Running",
  queued: "Queued",
  done: "Done",
};

export const SECTION_KEYS = /** @type {SectionKey[]} */ (Object.keys(SECTION_LABELS));

/**
 * Columns that jobs can be sorted by, with the direction that a reader wants first.
 *
 * @type {Record<SortKey, {label: string, isAscending: boolean}>}
 */
export const SORTS = {
  status: { label: "Status", isAscending: true },
  name: { label: "Job", isAscending: true },
  sheets: { label: "Sheets", isAscending: false },
  duration: { label: "Duration", isAscending: false },
  ends: { label: "Ends", isAscending: true },
  cost: { label: "Est. cost", isAscending: false },
  changed: { label: "Changed", isAscending: false },
};

/** @type {AttentionReason[]} */
const REASONS = ["failed", "person", "paused", "stalled"];

const COLLATOR = new Intl.Collator("en", { numeric: true });

/**
 * Return why a person should look at a job; null if nobody has to.
 *
 * @param {RosterEntry} job
 * @param {IsSeen} isSeen
 * @returns {AttentionReason | null}
 */
function attentionReason(job, isSeen) {
  if (job.status === "failed") return isSeen(job) ? null : "failed";
  if (isTerminal(job.status)) return null;
  if (job.status === "paused_at_chain" || job.waiting?.code === "person") return "person";
  if (statusTone(job.status) === "paused") return "paused";
  return job.stalled?.length ? "stalled" : null;
}

/**
 * Return the section of a job. A status that a newer conductor adds counts as running.
 *
 * @param {RosterEntry} job
 * @param {IsSeen} isSeen
 * @returns {SectionKey}
 */
function sectionOf(job, isSeen) {
  if (attentionReason(job, isSeen)) return "attention";
  if (isTerminal(job.status)) return "done";
  return statusTone(job.status) === "waiting" ? "queued" : "running";
}

/**
 * Return jobs by section, ordered.
 *
 * @param {RosterEntry[]} jobs
 * @param {{isSeen: IsSeen, sort: Sort | null, until: number}} options `until` is the time up to which
 *   running jobs are known to have run.
 * @returns {Sections}
 */
export function groupJobs(jobs, { isSeen, sort, until }) {
  /** @type {Sections} */
  const sections = { attention: [], running: [], queued: [], done: [] };
  for (const job of jobs) sections[sectionOf(job, isSeen)].push(job);
  for (const key of SECTION_KEYS) {
    const rank = sort
      ? (/** @type {RosterEntry} */ job) => sortValue(job, sort.key, until)
      : (/** @type {RosterEntry} */ job) => defaultValue(job, key, isSeen);
    const direction = sort && !sort.isAscending ? -1 : 1;
    sections[key] = orderBy(sections[key], rank, direction);
  }
  return sections;
}

/**
 * Return the wanted sections, with the jobs of each in the order in which they are shown. Jobs that are new
 * in a section stand below the one that the reader points at, else first: the row under the pointer stays.
 *
 * @param {Sections} shown
 * @param {Sections} wanted
 * @param {string} [pointedJob] id.
 * @returns {Sections}
 */
export function keepOrder(shown, wanted, pointedJob) {
  /** @param {SectionKey} key */
  const merge = (key) => {
    const added = new Map(wanted[key].map((job) => [job.job_id, job]));
    const kept = shown[key].flatMap(({ job_id: id }) => added.get(id) ?? []);
    for (const { job_id: id } of kept) added.delete(id);
    const pointed = kept.findIndex(({ job_id: id }) => id === pointedJob);
    return kept.toSpliced(pointed + 1, 0, ...added.values());
  };
  return {
    attention: merge("attention"),
    running: merge("running"),
    queued: merge("queued"),
    done: merge("done"),
  };
}

/**
 * Order jobs by a value; those without one come last, whatever the direction.
 *
 * @param {RosterEntry[]} jobs
 * @param {(job: RosterEntry) => number | string} rank
 * @param {1 | -1} direction
 */
function orderBy(jobs, rank, direction) {
  const ranked = jobs.map((job) => ({
    job,
    value: rank(job),
    at: Date.parse(job.submitted_at ?? ""),
  }));
  ranked.sort(
    (a, b) =>
      compare(a.value, b.value, direction) ||
      compare(a.at, b.at, -1) ||
      COLLATOR.compare(a.job.job_id, b.job.job_id),
  );
  return ranked.map(({ job }) => job);
}

/**
 * @param {number | string} a
 * @param {number | string} b
 * @param {1 | -1} direction
 */
function compare(a, b, direction) {
  if (typeof a === "string" && typeof b === "string") return COLLATOR.compare(a, b) * direction;
  const [hasA, hasB] = [!Number.isNaN(a), !Number.isNaN(b)];
  if (!hasA || !hasB) return Number(hasB) - Number(hasA);
  return a === b ? 0 : (a < b ? -1 : 1) * direction;
}

/**
 * Return the value of a column; NaN if it is unknown.
 *
 * @param {RosterEntry} job
 * @param {SortKey} key
 * @param {number} until
 */
function sortValue(job, key, until) {
  if (key === "status") return job.status;
  if (key === "name") return job.job_id;
  if (key === "duration") return jobDuration(job, until);
  if (key === "ends") return isTerminal(job.status) ? NaN : Date.parse(job.eta_at ?? "");
  if (key === "cost") return job.estimated_cost ?? NaN;
  if (key === "changed") return lastChange(job).at;
  return job.total_sheets ? (job.completed_sheets ?? NaN) / job.total_sheets : NaN;
}

/**
 * Return the value of the order that a section has by itself: the most urgent first, the queue from its
 * head, and all else from the newest.
 *
 * @param {RosterEntry} job
 * @param {SectionKey} key
 * @param {IsSeen} isSeen
 */
function defaultValue(job, key, isSeen) {
  if (key === "attention") {
    const reason = attentionReason(job, isSeen);
    return reason ? REASONS.indexOf(reason) : NaN;
  }
  if (key === "queued") return Date.parse(job.submitted_at ?? "");
  return key === "done" ? -Date.parse(job.completed_at ?? job.submitted_at ?? "") : 0;
}
