/**
 * Strip of a job's sheets, as far as the roster tells of them: how many are completed or at work, and which
 * one waits or has stalled. Sheets are drawn by kind, not by number.
 */

import { isTerminal } from "./status.js";

/** @typedef {import("./roster.js").RosterEntry} RosterEntry */
/** @typedef {"completed" | "failed" | "stalled" | "waiting" | "running" | "open"} StripKind */
/** @typedef {{kind: StripKind, count: number}} StripPart */

/** Largest number of sheets that are drawn as cells of their own. */
export const MAX_CELLS = 40;

/**
 * Return the parts of a strip; none if the number of sheets is unknown.
 *
 * @param {RosterEntry} job
 * @returns {StripPart[]}
 */
export function stripParts(job) {
  const total = job.total_sheets ?? 0;
  let open = total;
  /** @type {StripPart[]} */
  const parts = [];
  /**
   * @param {StripKind} kind
   * @param {number} count
   */
  const take = (kind, count) => {
    const taken = Math.max(0, Math.min(count, open));
    open -= taken;
    if (taken) parts.push({ kind, count: taken });
  };
  take("completed", job.completed_sheets ?? 0);
  if (job.status === "failed") take("failed", 1);
  if (!isTerminal(job.status)) {
    const stalled = job.stalled ?? [];
    const waiting = job.waiting?.sheet;
    take("stalled", stalled.length);
    if (waiting) take("waiting", 1);
    take("running", (job.active_sheets ?? 0) - stalled.length);
  }
  take("open", open);
  return parts;
}

/**
 * Describe a strip in words.
 *
 * @param {RosterEntry} job
 */
export function stripText(job) {
  const { completed_sheets: completed, total_sheets: total, current_sheet: current } = job;
  const active = job.active_sheets ?? 0;
  if (!total) return "Number of sheets unknown";
  const known = `${completed ?? "?"} of ${total} sheets completed`;
  if (isTerminal(job.status)) return known;
  if (active > 1) return `${known}, ${active} at work`;
  return current && active ? `${known}, sheet ${current} at work` : known;
}
