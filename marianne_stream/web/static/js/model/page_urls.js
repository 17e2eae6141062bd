/** URLs of the page's views. */

import { ROOT_PATH } from "../root_path.js";

/** URL of the list of all jobs. */
export const LIST_URL = `${ROOT_PATH}/`;

/**
 * Reason why a job has no URL: browsers resolve `/.` and `/..` as path segments, encoded or not
 * (WHATWG URL, single-dot and double-dot path segments).
 */
export const NO_JOB_URL =
  "No page: browsers treat this name as a folder. Use marianne-stream watch in a terminal.";

/**
 * Return the URL of a job's view; null if browsers cannot request it.
 *
 * @param {string} jobId
 */
export function jobUrl(jobId) {
  return jobId === "." || jobId === ".." ? null : `${ROOT_PATH}/jobs/${encodeURIComponent(jobId)}`;
}

/**
 * Return the job of a path; null for any other view. An invalid encoding is taken literally.
 *
 * @param {string} path
 */
export function parseJobPath(path) {
  const match = /^\/jobs\/([^/]+)$/.exec(path.slice(ROOT_PATH.length));
  if (!match) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

/** Number of jobs whose logs one view shows. */
export const MAX_LOG_JOBS = 8;

/**
 * @typedef {object} LogsAddress what the address of the view of several jobs' logs names.
 * @property {string[]} jobIds
 * @property {string} level lowest level to show; "" for all.
 * @property {string} text text of the lines to show; "" for all.
 * @property {string} time time at which the view opens, ISO 8601; "" for the newest lines.
 * @property {number} leftOut number of jobs that are too many.
 */

/**
 * Return the URL of the view of several jobs' logs.
 *
 * @param {{jobIds: string[], level?: string, text?: string, time?: string}} address
 */
export function logsUrl({ jobIds, level, text, time }) {
  const query = new URLSearchParams(jobIds.map((jobId) => ["job", jobId]));
  for (const [name, value] of Object.entries({ level, text, time })) {
    if (value) query.set(name, value);
  }
  return `${ROOT_PATH}/logs?${query}`;
}

/**
 * Return what the address of the view of several jobs' logs names; null for any other view.
 *
 * @param {string} path
 * @param {string} search query of the address.
 * @returns {LogsAddress | null}
 */
export function parseLogsUrl(path, search) {
  if (path !== `${ROOT_PATH}/logs`) return null;
  const query = new URLSearchParams(search);
  const jobIds = [...new Set(query.getAll("job").filter(Boolean))];
  return {
    jobIds: jobIds.slice(0, MAX_LOG_JOBS),
    level: query.get("level") ?? "",
    text: query.get("text") ?? "",
    time: query.get("time") ?? "",
    leftOut: Math.max(0, jobIds.length - MAX_LOG_JOBS),
  };
}
