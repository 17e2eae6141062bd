/** Statuses of jobs and sheets: tone and label. */

/**
 * @typedef {"waiting" | "running" | "paused" | "completed" | "failed" | "cancelled" | "unknown"} Tone
 *   a group of statuses with one colour and one icon.
 */

/** @type {Tone[]} */
export const TONES = [
  "failed",
  "paused",
  "running",
  "waiting",
  "completed",
  "cancelled",
  "unknown",
];

/** @type {Record<string, Tone>} */
const STATUS_TONES = {
  queued: "waiting",
  pending: "waiting",
  ready: "waiting",
  waiting: "waiting",
  retry_scheduled: "waiting",
  running: "running",
  dispatched: "running",
  in_progress: "running",
  paused: "paused",
  paused_at_chain: "paused",
  fermata: "paused",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  skipped: "cancelled",
  stopped: "cancelled",
};

/**
 * Words for statuses whose names are the conductor's own.
 *
 * @type {Record<string, string>}
 */
const LABELS = {
  pending: "not started",
  ready: "not started",
  dispatched: "running",
  in_progress: "running",
  retry_scheduled: "waits for a retry",
  fermata: "waits for a person",
  paused_at_chain: "waits for a person",
};

const AT_WORK = new Set(["dispatched", "in_progress"]);

const TERMINAL = new Set(["completed", "failed", "cancelled"]);

/**
 * Return the tone of a status.
 *
 * @param {string | undefined} status
 * @returns {Tone}
 */
export function statusTone(status) {
  return STATUS_TONES[status ?? ""] ?? "unknown";
}

/**
 * Return a status as words; an unknown status is shown as it is.
 *
 * @param {string} status
 */
export function statusLabel(status) {
  return LABELS[status] ?? String(status).replaceAll("_", " ");
}

/**
 * Return true if a sheet with this status is at work.
 *
 * @param {string} status
 */
export function isAtWork(status) {
  return AT_WORK.has(status);
}

/**
 * Return true if a job with this status is over, unless it is resumed.
 *
 * @param {string | undefined} status
 */
export function isTerminal(status) {
  return TERMINAL.has(status ?? "");
}
