/** What statuses mean to a person: their order, their words, and what they look like. */

/**
 * The looks of a status: the colour and the shape bear the same name, so that neither is needed to
 * tell one from another.
 */
const LOOKS = {
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

/** A failure older than this wants no attention any more. */
const FRESH_FAILURE_MS = 24 * 3600 * 1000;

/** `waiting`, `running`, `paused`, `completed`, `failed`, `cancelled`, or `unknown`. */
export function lookOf(status) {
  return LOOKS[status] ?? "unknown";
}

/** A status as a word: an unknown one is shown as it came. */
export function wordOf(status) {
  return String(status).replaceAll("_", " ");
}

/** Whether a job with this status is over, unless it is run again. */
export function isTerminal(status) {
  return TERMINAL.has(status);
}

/** How much a job wants attention: 0 the most. */
export function attentionOf(job, now) {
  const look = lookOf(job.status);
  if (look === "failed") {
    const at = Date.parse(job.completed_at ?? job.started_at ?? job.submitted_at ?? "");
    return now - at > FRESH_FAILURE_MS ? 4 : 0;
  }
  return { paused: 1, running: 2, waiting: 3, unknown: 3, cancelled: 5, completed: 6 }[look];
}
