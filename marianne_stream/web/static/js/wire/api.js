/** Client of the HTTP API: paths, JSON requests and errors. */

import { ROOT_PATH } from "../root_path.js";

/** A search may take two seconds on the server; after this time the server is taken to be away. */
const RESPONSE_TIMEOUT_MS = 20_000;

/** Error response of the API, or no response (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} detail
   */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * Return a path below a job: `jobPath("a b", "logs")` is `/api/jobs/a%20b/logs`.
 *
 * @param {string} jobId
 * @param {...string} rest
 */
export function jobPath(jobId, ...rest) {
  return [`${ROOT_PATH}/api/jobs`, encodeURIComponent(jobId), ...rest].join("/");
}

/** @typedef {string | number | boolean | null | undefined} QueryValue */

/**
 * Return the name of a part of the combined stream: `jobPart("log", "a b", { level: "error" })` is
 * `log:a%20b?level=error`.
 *
 * @param {"status" | "events" | "log"} kind
 * @param {string} jobId
 * @param {Record<string, QueryValue | QueryValue[]>} [parameters] of the part's own stream.
 */
export function jobPart(kind, jobId, parameters = {}) {
  return withQuery(`${kind}:${encodeURIComponent(jobId)}`, parameters);
}

/**
 * Return a path with a query. Null, false and empty values are omitted, lists are repeated.
 *
 * @param {string} path
 * @param {Record<string, QueryValue | QueryValue[]>} parameters
 */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(parameters)) {
    for (const value of [values].flat()) {
      if (value !== null && value !== undefined && value !== "" && value !== false) {
        query.append(name, String(value));
      }
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @typedef {object} RequestOptions
 * @property {AbortSignal} [signal]
 * @property {(headers: Headers) => void} [onHeaders]
 * @property {RequestRedirect} [redirect] `manual` if only the origin may have the answer.
 */

/**
 * Request JSON.
 *
 * @param {string} path
 * @param {RequestOptions} [options]
 * @returns {Promise<any>}
 * @throws {ApiError} the response is an error, or does not come in time.
 */
export function getJson(path, options) {
  return request(path, "application/json", (response) => response.json(), options);
}

/**
 * Request text.
 *
 * @param {string} path
 * @param {RequestOptions} [options]
 * @returns {Promise<string>}
 * @throws {ApiError} the response is an error, or does not come in time.
 */
export function getText(path, options) {
  return request(path, "*/*", (response) => response.text(), options);
}

/**
 * @template T
 * @param {string} path
 * @param {string} accept media type.
 * @param {(response: Response) => Promise<T>} read
 * @param {RequestOptions} [options]
 * @returns {Promise<T>}
 */
async function request(path, accept, read, { signal, onHeaders, redirect = "follow" } = {}) {
  const timeout = AbortSignal.timeout(RESPONSE_TIMEOUT_MS);
  let response;
  try {
    response = await fetch(path, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { Accept: accept },
      redirect,
    });
    onHeaders?.(response.headers);
    if (response.ok) return await read(response);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server is not responding.");
  }
  if (response.type === "opaqueredirect") {
    const detail = "Only the conductor's own server has this.";
    throw new ApiError(501, "not_available_on_edge", detail);
  }
  throw await readError(response);
}

/**
 * Request the newest recorded run of a job, which has its sheets in pages.
 *
 * @param {string} jobId
 * @param {AbortSignal} signal
 */
export async function getNewestRun(jobId, signal) {
  let page = await getJson(jobPath(jobId, "runs", "latest"), { signal });
  const { run } = page;
  /** @type {import("../model/sheet_history.js").RecordedTransition[]} */
  const transitions = page.transitions;
  while (page.next) {
    const path = withQuery(jobPath(jobId, "runs", run), { after: page.next });
    page = await getJson(path, { signal });
    transitions.push(...page.transitions);
  }
  return { run, transitions };
}

/**
 * Return the reasons why the server is not ready, as sentences; none if it is.
 *
 * @returns {Promise<string[]>}
 */
export async function fetchNotReadyReasons() {
  try {
    const response = await fetch(`${ROOT_PATH}/ready`, {
      signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
    });
    // A response of status 503 has the same fields.
    const { reasons } = await response.json();
    return reasons ?? [];
  } catch {
    return ["The server is not responding."];
  }
}

/**
 * Read an error response.
 *
 * @param {Response} response
 */
export async function readError(response) {
  /** @type {{code?: string, detail?: string}} */
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's own error page: its status is all there is.
  }
  const detail = body.detail ?? `The server responded with status ${response.status}.`;
  return new ApiError(response.status, body.code ?? "", detail);
}
