/** Moment in a job's life that tells one failure or pause of it from another. */

/** Times of the same moment may differ by the rounding of their sources. */
const SAME_TIME_MS = 1_000;

/** @typedef {{submitted: number | null, ended: number | null}} RunMoment epoch milliseconds. */

/**
 * Return the present moment of a job: its submission, and its end.
 *
 * @param {{submitted_at?: string | null, completed_at?: string | null}} job
 * @returns {RunMoment}
 */
export function momentOf({ submitted_at: submitted, completed_at: ended }) {
  return makeMoment(Date.parse(submitted ?? ""), Date.parse(ended ?? ""));
}

/**
 * Make a moment from times, or from whatever else was saved.
 *
 * @param {unknown} submitted
 * @param {unknown} ended
 * @returns {RunMoment}
 */
export function makeMoment(submitted, ended) {
  return { submitted: numberOrNull(submitted), ended: numberOrNull(ended) };
}

/**
 * Return true if two moments are the same. An end that is not known is not the same as one that is: it may
 * be the end of another failure.
 *
 * @param {RunMoment} a
 * @param {RunMoment} b
 */
export function isSameMoment(a, b) {
  return isSameTime(a.submitted, b.submitted) && isSameTime(a.ended, b.ended);
}

/** @param {unknown} value */
function numberOrNull(value) {
  return typeof value === "number" && !Number.isNaN(value) ? value : null;
}

/**
 * @param {number | null} a
 * @param {number | null} b
 */
function isSameTime(a, b) {
  return a === null || b === null ? a === b : Math.abs(a - b) <= SAME_TIME_MS;
}
