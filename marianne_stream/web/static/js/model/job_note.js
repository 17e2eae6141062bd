/** Note of a job in the list: its error, what it waits for, or what it does. */

import { plainText } from "./ansi.js";
import { formatDuration } from "./time_format.js";
import { formatEstimate, stalledSentence } from "./job_facts.js";
import { isTerminal } from "./status.js";

/** @typedef {import("./roster.js").RosterEntry} RosterEntry */
/** @typedef {import("./server_clock.js").ServerClock} ServerClock */
/** @typedef {import("./time_format.js").TimeFormat} TimeFormat */
/** @typedef {{text: string, kind: "error" | "wait" | "work" | ""}} JobNote */
/** @typedef {{clock: ServerClock, times: TimeFormat, queueReason: string}} NoteContext */

const PAUSED_HINT = "Open the job for the command to resume.";

/**
 * Return true if a row has place for a note: jobs that have ended well need none.
 *
 * @param {RosterEntry} job
 */
export function hasNote(job) {
  return !isTerminal(job.status) || job.status === "failed" || Boolean(job.error_message);
}

/**
 * Return the note of a job.
 *
 * @param {RosterEntry} job
 * @param {NoteContext} context
 * @returns {JobNote}
 */
export function jobNote(job, { clock, times, queueReason }) {
  if (isTerminal(job.status)) {
    if (job.error_message) return { text: firstLine(job.error_message), kind: "error" };
    const text = job.status === "failed" ? "Open the job to see its error." : "";
    return { text, kind: "" };
  }
  const stalled = stalledSentence(job.stalled);
  if (stalled) return { text: stalled, kind: "wait" };
  if (job.waiting) {
    return { text: waitText(job, job.waiting, { clock, times, queueReason }), kind: "wait" };
  }
  return { text: workText(job, times), kind: "work" };
}

/**
 * Return what a job waits for. The end of the wait, or when the job was submitted, stands first: a narrow
 * row cuts the rest.
 *
 * @param {RosterEntry} job
 * @param {import("./job.js").Waiting} waiting
 * @param {NoteContext} context
 */
function waitText(job, { code, detail, until }, { clock, times, queueReason }) {
  // The status says that it is paused.
  if (code === "paused") return PAUSED_HINT;
  if (code === "queued") {
    const at = times.shortDateTime(Date.parse(job.submitted_at ?? ""));
    return `${at && `Submitted ${at}. `}${queueReason || detail}`;
  }
  const at = Date.parse(until ?? "");
  if (Number.isNaN(at)) return detail;
  const rest = clock.isLive && at > clock.now() ? `, in ${formatDuration(at - clock.now())}` : "";
  return `Goes on at ${times.shortDateTime(at)}${rest}. ${detail}`;
}

/**
 * Return what a running job does. The start stands first: the sheet at work comes and goes.
 *
 * @param {RosterEntry} job
 * @param {TimeFormat} times
 */
function workText(
  { started_at: startedAt, current_sheet: current, active_sheets: count = 0 },
  times,
) {
  const start = times.shortDateTime(Date.parse(startedAt ?? ""));
  const texts = start ? [`Started ${start}.`] : [];
  // The conductor may name a sheet as current that is not at work.
  if (!count) return texts.join(" ");
  if (current && count > 1) texts.push(`${count} sheets are at work, from sheet ${current} on.`);
  else if (current) texts.push(`Sheet ${current} is at work.`);
  return texts.join(" ");
}

/**
 * Format the rest until an estimated end; "" if there is none, or while the page is not live.
 *
 * @param {RosterEntry} job
 * @param {ServerClock} clock
 */
export function formatRest(job, clock) {
  const rest = Date.parse(job.eta_at ?? "") - clock.now();
  if (Number.isNaN(rest) || isTerminal(job.status) || !clock.isLive) return "";
  return formatEstimate(rest);
}

/**
 * Return the first line of a text that is not blank, without control sequences.
 *
 * @param {string} text
 */
export function firstLine(text) {
  return plainText(text.split(/\r?\n/).find((line) => line.trim()) ?? "").trim();
}
