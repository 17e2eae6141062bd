/** The addresses of the page's views. */

/** Why a job has no address: browsers take `/.` and `/..` for folders, however they are encoded (WHATWG URL). */
export const NO_ADDRESS =
  "No page: browsers take this name for a folder. In a terminal: marianne-stream watch";

/** The address of a job's view; null if a browser cannot ask for it. */
export function addressOf(jobId) {
  return jobId === "." || jobId === ".." ? null : `/jobs/${encodeURIComponent(jobId)}`;
}
