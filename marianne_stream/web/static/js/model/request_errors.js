/** Errors of requests: those that pass, and how they are told. */

/** Reason why a page does not hold the line of a time, if the search was ended by its time limit. */
export const SLOW_SEARCH = "No line of this time was found in the time that a search has.";

/**
 * Return true if the same request may succeed later, as for streams (`isRetryable`); 0 is no response.
 * 501 is the answer of an edge to what only the origin has.
 *
 * @param {any} error an `ApiError`.
 */
export function isTransient({ status }) {
  return status === 0 || status === 429 || (status >= 500 && status !== 501);
}

/**
 * Return true if the log no longer has the line of a cursor.
 *
 * @param {any} error an `ApiError`.
 */
export function isExpired({ code }) {
  return code === "cursor_expired";
}

/**
 * Return the message of a failed request.
 *
 * @param {any} error an `ApiError`.
 */
export function describeError(error) {
  return isExpired(error)
    ? "The log does not have this line, or no longer has it."
    : String(error.message);
}
