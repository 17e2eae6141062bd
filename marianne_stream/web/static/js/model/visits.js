/** Visits of a reader, and the summary of what has happened since the last one. */

import { firstLine } from "./job_note.js";
import { statusLabel } from "./status.js";
import { formatDuration } from "./time_format.js";

/** @typedef {{since: number | null, at: number}} Visit `at` is the last moment of the visit. */

/**
 * @typedef {object} Summary response of `/api/summary`.
 * @property {{job_id: string, status: string, duration_s?: number, error_message?: string}[]} ended
 * @property {{job_id: string, waiting: {code: string, detail: string}}[]} waiting
 * @property {{job_id: string, sheet: number}[]} stalled
 * @property {boolean} complete
 */

/** @typedef {{jobId: string, status: string, text: string}} SummaryLine */

/** A reader who was away for less is still on the same visit. */
const MIN_ABSENCE_MS = 15 * 60_000;

/**
 * Return the visit that goes on, or begins, now.
 *
 * @param {unknown} saved visit, or whatever else was saved.
 * @param {number} now
 * @returns {Visit} `since` is the end of the last visit; null for the first, and if it was dismissed.
 */
export function continueVisit(saved, now) {
  const { since, at } = /** @type {Partial<Visit>} */ (saved ?? {});
  if (typeof at !== "number") return { since: null, at: now };
  if (now - at > MIN_ABSENCE_MS) return { since: at, at: now };
  return { since: typeof since === "number" ? since : null, at: now };
}

/**
 * Describe a summary in one line: `3 completed, 1 failed, 2 sheets stalled`.
 *
 * @param {Summary} summary
 */
export function summaryHeadline({ ended, stalled, complete }) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { status } of ended) counts.set(status, (counts.get(status) ?? 0) + 1);
  const order = ["failed", "completed", "cancelled"];
  const parts = [...counts]
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([status, count]) => `${count} ${statusLabel(status)}`);
  if (stalled.length === 1) parts.push("1 sheet stalled");
  else if (stalled.length) parts.push(`${stalled.length} sheets stalled`);
  if (!parts.length) return complete ? "nothing ended" : "nothing is known to have ended";
  return parts.join(", ");
}

/**
 * Return the lines of a summary: failures first, then stalled sheets, then the other ends.
 *
 * @param {Summary} summary
 * @returns {SummaryLine[]}
 */
export function summaryLines({ ended, stalled }) {
  const ends = ended.map(({ job_id: jobId, status, duration_s: seconds, error_message: error }) => {
    const duration = seconds === undefined ? "" : ` after ${formatDuration(seconds * 1000)}`;
    const reason = error ? `: ${firstLine(error)}` : "";
    return { jobId, status, text: `${statusLabel(status)}${duration}${reason}` };
  });
  const stalls = stalled.map(({ job_id: jobId, sheet }) => ({
    jobId,
    status: "stalled",
    text: `sheet ${sheet} showed no sign of life`,
  }));
  const isFailure = (/** @type {SummaryLine} */ { status }) => status === "failed";
  return [...ends.filter(isFailure), ...stalls, ...ends.filter((line) => !isFailure(line))];
}
