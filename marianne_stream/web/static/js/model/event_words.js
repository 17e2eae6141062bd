/** Words for the conductor's events about jobs and sheets. Other events keep their names. */

/** @type {Record<string, string>} */
const NAMES = {
  "job.submitted": "Job submitted",
  "job.started": "Job started",
  "job.resuming": "Job resumed",
  "job.paused": "Job paused",
  "job.completed": "Job completed",
  "job.failed": "Job failed",
  "job.cancelled": "Job cancelled",
  "job.cost_update": "Cost updated",
  "sheet.started": "Sheet started",
  "sheet.completed": "Sheet completed",
  "sheet.failed": "Sheet failed",
  "sheet.retrying": "Sheet will be tried again",
  "sheet.stalled": "Sheet may be stuck",
  "baton.sheet.skipped": "Sheet skipped",
  gap: "Events are missing",
};

/** Fields whose value the name of the event tells. */
const REDUNDANT = new Set(["all_success", "success"]);

/**
 * Return the name of an event in words.
 *
 * @param {string} name
 */
export function eventWords(name) {
  return NAMES[name] ?? name;
}

/**
 * Return a field of an event's data in words: `4 sheets`, `instrument cli`; "" if it tells nothing.
 *
 * @param {string} name
 * @param {unknown} value
 */
export function fieldWords(name, value) {
  if (value === null || value === "" || typeof value === "object" || REDUNDANT.has(name)) return "";
  if (name === "sheet_count") return value === 1 ? "1 sheet" : `${value} sheets`;
  return `${name.replaceAll("_", " ")} ${value}`;
}
