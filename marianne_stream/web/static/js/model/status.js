/** Statuses of jobs and sheets: tone, label, and rank in the list. */

/**
 * @typedef {"waiting" | "running" | "paused" | "completed" | "failed" | "cancelled" | "unknown"} Tone
 *   a group of statuses with one colour and one icon.
 */

/** @type {Record<string, Tone>} */
const TONES = {
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

const TERMINAL = new Set(["completed", "failed", "cancelled"]);

/** Age from which a failed job is listed behind the active ones. */
const RECENT_FAILURE_MS = 24 * 3600 * 1000;

/**
 * Return the tone of a status.
 *
 * @param {string | undefined} status
 * @returns {Tone}
 */
export function statusTone(status) {
  return TONES[status ?? ""] ?? "unknown";
}

/**
 * Return a status as words; an unknown status is shown as it is.
 *
 * @param {string} status
 */
export function statusLabel(status) {
  return String(status).replaceAll("_", " ");
}

/**
 * Return true if a job with this status is over, unless it is resumed.
 *
 * @param {string | undefined} status
 */
export function isTerminal(status) {
  return TERMINAL.has(status ?? "");
}

/**
 * Return the rank of a job by how much attention it needs; 0 is the first.
 *
 * @param {import("./roster.js").RosterEntry} job
 * @param {number} now server time, epoch milliseconds.
 */
export function attentionRank(job, now) {
  const tone = statusTone(job.status);
  if (tone === "failed") {
    const at = Date.parse(job.completed_at ?? job.started_at ?? job.submitted_at ?? "");
    return now - at > RECENT_FAILURE_MS ? 4 : 0;
  }
  return { paused: 1, running: 2, waiting: 3, unknown: 3, cancelled: 5, completed: 6 }[tone];
}
