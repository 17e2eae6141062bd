/** Visits of a reader, and the summary of what has happened since the last one. */

import { firstLine } from "./job_note.js";
import { statusLabel } from "./status.js";
import { formatDuration } from "./time_format.js";

/**
 * @typedef {object} Visit
 * @property {number | null} since end of the last visit; null for the first, and if the summary was hidden.
 * @property {number} began
 * @property {number} at last moment of the visit.
 */

/**
 * @typedef {object} EndedRun
 * @property {string} job_id
 * @property {string} status
 * @property {string} [completed_at] ISO 8601.
 * @property {number} [duration_s]
 * @property {string} [error_message]
 */

/**
 * @typedef {object} Summary response of `/api/summary`.
 * @property {EndedRun[]} ended the last first.
 * @property {{job_id: string, sheet: number, at?: string}[]} stalled
 * @property {boolean} complete
 */

/** @typedef {{jobId: string, status: string, at: number, text: string}} SummaryLine `at` is NaN if unknown. */

/** A reader who was away for less is still on the same visit. */
const MIN_ABSENCE_MS = 15 * 60_000;

/**
 * Return the visit that goes on, or begins, now.
 *
 * @param {unknown} saved visit, or whatever else was saved.
 * @param {number} now
 * @returns {Visit}
 */
export function continueVisit(saved, now) {
  const { since, began, at } = /** @type {Partial<Visit>} */ (saved ?? {});
  if (typeof at !== "number") return { since: null, began: now, at: now };
  if (now - at > MIN_ABSENCE_MS) return { since: at, began: now, at: now };
  return {
    since: typeof since === "number" ? since : null,
    began: typeof began === "number" ? began : now,
    at: now,
  };
}

/**
 * Return the part of a summary up to a time: what happened later, the reader has seen.
 *
 * @param {Summary} summary
 * @param {number} until
 * @returns {Summary}
 */
export function summaryUntil({ ended, stalled, complete }, until) {
  const isBefore = (/** @type {string | undefined} */ at) => !(Date.parse(at ?? "") > until);
  return {
    ended: ended.filter(({ completed_at: at }) => isBefore(at)),
    stalled: stalled.filter(({ at }) => isBefore(at)),
    complete,
  };
}

/**
 * Describe a summary in one line: `3 completed, 1 failed, 2 sheets stalled`.
 *
 * @param {Summary} summary
 */
export function summaryHeadline({ ended, stalled, complete }) {
  const parts = [countsText(ended)];
  if (stalled.length === 1) parts.push("1 sheet stalled");
  else if (stalled.length) parts.push(`${stalled.length} sheets stalled`);
  const text = parts.filter(Boolean).join(", ");
  return text || (complete ? "nothing ended" : "nothing is known to have ended");
}

/**
 * Return the lines of a summary, one for the ends of each job: failures first, then stalled sheets, then the
 * other ends.
 *
 * @param {Summary} summary
 * @returns {SummaryLine[]}
 */
export function summaryLines({ ended, stalled }) {
  const ends = [...groupByJob(ended).values()].map((runs) => endLine(runs));
  const stalls = [...groupByJob(stalled)].map(([jobId, sheets]) => {
    const numbers = [...new Set(sheets.map(({ sheet }) => sheet))].sort((a, b) => a - b);
    const subject = numbers.length === 1 ? "sheet" : "sheets";
    const text = `${subject} ${numbers.join(", ")} showed no sign of life`;
    return { jobId, status: "stalled", at: Date.parse(sheets[0].at ?? ""), text };
  });
  const isFailure = (/** @type {SummaryLine} */ { status }) => status === "failed";
  return [...ends.filter(isFailure), ...stalls, ...ends.filter((line) => !isFailure(line))];
}

/**
 * Describe the last end of a job, and count those before it.
 *
 * @param {EndedRun[]} runs the last first.
 * @returns {SummaryLine}
 */
function endLine([last, ...others]) {
  const { job_id: jobId, status, duration_s: seconds, error_message: error } = last;
  const duration = seconds === undefined ? "" : ` after ${formatDuration(seconds * 1000)}`;
  const reason = error ? `: ${firstLine(error)}` : "";
  const before = others.length ? ` (before: ${countsText(others)})` : "";
  const text = `${statusLabel(status)}${duration}${before}${reason}`;
  return { jobId, status, at: Date.parse(last.completed_at ?? ""), text };
}

/**
 * Count runs by status: `1 failed, 2 completed`.
 *
 * @param {EndedRun[]} runs
 */
function countsText(runs) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { status } of runs) counts.set(status, (counts.get(status) ?? 0) + 1);
  const order = ["failed", "completed", "cancelled"];
  return [...counts]
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([status, count]) => `${count} ${statusLabel(status)}`)
    .join(", ");
}

/**
 * @template {{job_id: string}} T
 * @param {T[]} items
 * @returns {Map<string, T[]>}
 */
function groupByJob(items) {
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  for (const item of items) {
    const group = groups.get(item.job_id);
    if (group) group.push(item);
    else groups.set(item.job_id, [item]);
  }
  return groups;
}
