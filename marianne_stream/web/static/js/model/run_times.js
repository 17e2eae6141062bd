/** What is said of a job's times: how long it runs, and when it last changed or ended. */

import { isTerminal } from "./status.js";
import { ago, duration } from "./times.js";

/**
 * How long a job has run, or ran; "" where the beginning or the end is not known.
 *
 * @param {object} job
 * @param {import("./server_clock.js").ServerClock} clock
 */
export function durationOf({ status, started_at: started, completed_at: completed }, clock) {
  const from = Date.parse(started ?? "");
  const to = isTerminal(status) ? Date.parse(completed ?? "") : clock.knownUntil();
  return duration(to - from);
}

/**
 * When a job ended, or, while it goes on, when the server last saw it change.
 *
 * @param {object} job
 * @returns {{label: "Ended" | "Changed", at: number}} NaN where it is not known.
 */
export function lastChangeOf({ status, completed_at: completed, last_progress_at: progress }) {
  return isTerminal(status)
    ? { label: "Ended", at: Date.parse(completed ?? "") }
    : { label: "Changed", at: Date.parse(progress ?? "") };
}

/**
 * How long ago a change was. Of a job that goes on, while the page is not live, this says when it was: it
 * may have changed since.
 */
export function changeText({ label, at }, clock, times) {
  return label === "Ended" || clock.isLive ? ago(at, clock.now()) : times.moment(at);
}
