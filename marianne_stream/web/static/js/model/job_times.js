/** Times of a job: how long it has run, and when it last changed or ended. */

import { isTerminal, statusTone } from "./status.js";
import { formatAge, formatDuration } from "./time_format.js";

/** @typedef {import("./server_clock.js").ServerClock} ServerClock */

/**
 * @typedef {object} JobTimes
 * @property {string} status
 * @property {string | null} [started_at]
 * @property {string | null} [completed_at]
 * @property {string | null} [last_progress_at]
 */

/** @typedef {{label: "Ended" | "Changed", at: number}} LastChange `at` is NaN if unknown. */

/**
 * Format how long a job has run so far, or ran; "" if its start or end is unknown.
 *
 * @param {JobTimes} job
 * @param {ServerClock} clock
 */
export function formatJobDuration(job, clock) {
  return formatDuration(listedDuration(job, clock.knownUntil()));
}

/**
 * Return how long a job has run so far, or ran, in milliseconds; NaN if unknown. A paused job ran until it
 * last changed: its history is not known here.
 *
 * @param {JobTimes} job
 * @param {number} until time up to which the state of running jobs is known.
 */
export function listedDuration(job, until) {
  const isPaused = statusTone(job.status) === "paused";
  const changedAt = Date.parse(job.last_progress_at ?? "");
  return Math.max(0, jobDuration(job, isPaused ? Math.min(changedAt, until) : until));
}

/**
 * Return how long a job has run so far, or ran, in milliseconds; NaN if its start or end is unknown.
 *
 * @param {JobTimes} job
 * @param {number} until time up to which the state of running jobs is known.
 */
export function jobDuration(job, until) {
  const to = isTerminal(job.status) ? Date.parse(job.completed_at ?? "") : until;
  return to - Date.parse(job.started_at ?? "");
}

/**
 * Return when a job ended or, if it is active, when the server last saw it change.
 *
 * @param {JobTimes} job
 * @returns {LastChange}
 */
export function lastChange(job) {
  return isTerminal(job.status)
    ? { label: "Ended", at: Date.parse(job.completed_at ?? "") }
    : { label: "Changed", at: Date.parse(job.last_progress_at ?? "") };
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
  return label === "Ended" || clock.isLive ? formatAge(at, clock.now()) : times.shortDateTime(at);
}
