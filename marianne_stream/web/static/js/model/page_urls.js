/** URLs of the page's views. */

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
  return jobId === "." || jobId === ".." ? null : `/jobs/${encodeURIComponent(jobId)}`;
}

/**
 * Return the job of a path; null for any other view. An invalid encoding is taken literally.
 *
 * @param {string} path
 */
export function parseJobPath(path) {
  const match = /^\/jobs\/([^/]+)$/.exec(path);
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
 * Return the URL of the view of several jobs' logs.
 *
 * @param {string[]} jobIds
 */
export function logsUrl(jobIds) {
  const query = new URLSearchParams(jobIds.map((jobId) => ["job", jobId]));
  return `/logs?${query}`;
}

/**
 * Return the jobs of the view of several jobs' logs; null for any other view.
 *
 * @param {string} path
 * @param {string} search query of the address.
 */
export function parseLogJobs(path, search) {
  if (path !== "/logs") return null;
  const jobIds = new URLSearchParams(search).getAll("job").filter(Boolean);
  return [...new Set(jobIds)].slice(0, MAX_LOG_JOBS);
}
