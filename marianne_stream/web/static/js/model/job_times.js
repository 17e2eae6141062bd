/** Times of a job: how long it has worked and waited, and when it last changed or ended. */

import { isTerminal, statusTone } from "./status.js";
import { formatAge } from "./time_format.js";

/** @typedef {import("./server_clock.js").ServerClock} ServerClock */

/**
 * @typedef {object} JobTimes
 * @property {string} status
 * @property {string | null} [started_at]
 * @property {string | null} [completed_at]
 * @property {string | null} [submitted_at]
 * @property {string | null} [last_progress_at]
 * @property {import("./job.js").Waiting | null} [waiting]
 * @property {number | null} [waited_s] time since `started_at` for which the run did not go on; without
 *   the present wait.
 */

/** @typedef {{label: "Ended" | "Changed" | "Submitted", at: number}} LastChange `at` is NaN if unknown. */

/**
 * Return how long the run of a job has worked so far, or did, in milliseconds: without the time for which it
 * was paused, waited, or was over before it was resumed. NaN if its start or end is unknown.
 *
 * @param {JobTimes} job
 * @param {number} until time up to which the state of running jobs is known.
 */
export function jobDuration(job, until) {
  const to = isTerminal(job.status)
    ? Date.parse(job.completed_at ?? "")
    : Math.min(waitingSince(job), until);
  return Math.max(0, to - Date.parse(job.started_at ?? "") - waitedBefore(job));
}

/**
 * Return for how long the run of a job was paused, waited, or was over before it was resumed, in
 * milliseconds.
 *
 * @param {JobTimes} job
 * @param {number} until time up to which the state of running jobs is known.
 */
export function waitedTime(job, until) {
  // A wait before the start is not part of the run.
  const since = Math.max(waitingSince(job), Date.parse(job.started_at ?? ""));
  return waitedBefore(job) + Math.max(0, until - since || 0);
}

/**
 * Return since when a job waits; Infinity if it does not, NaN if that is unknown. A paused job does not wait
 * while a sheet is at work. A server that tells no waits knows at least when a paused job last changed.
 *
 * @param {JobTimes} job
 */
export function waitingSince({ status, waiting, waited_s: waited, last_progress_at: changedAt }) {
  if (isTerminal(status)) return Infinity;
  if (waiting?.since) return Date.parse(waiting.since);
  const isUntold = statusTone(status) === "paused" && typeof waited !== "number";
  return isUntold ? Date.parse(changedAt ?? "") : Infinity;
}

/**
 * Return true if a job waits for its first start.
 *
 * @param {JobTimes} job
 */
export function isQueued({ status, started_at: startedAt }) {
  return statusTone(status) === "waiting" && !startedAt;
}

/** @param {JobTimes} job */
function waitedBefore({ waited_s: seconds }) {
  return (seconds ?? 0) * 1000;
}

/**
 * Return when a job ended or, if it is active, when the server last saw it change; of a job that waits for
 * its first start, when it was submitted.
 *
 * @param {JobTimes} job
 * @returns {LastChange}
 */
export function lastChange(job) {
  if (isTerminal(job.status)) return { label: "Ended", at: Date.parse(job.completed_at ?? "") };
  if (isQueued(job)) return { label: "Submitted", at: Date.parse(job.submitted_at ?? "") };
  return { label: "Changed", at: Date.parse(job.last_progress_at ?? "") };
}

/**
 * Format how long ago a change was. For an active job, while the page is not live, format the time of
 * the change instead: the job may have changed since.
 *
 * @param {LastChange} change
 * @param {ServerClock} clock
 * @param {import("./time_format.js").TimeFormat} times
 */
export function formatLastChange({ label, at }, clock, times) {
  return label !== "Changed" || clock.isLive ? formatAge(at, clock.now()) : times.shortDateTime(at);
}
