/**
 * Log of several jobs: their lines in the order of the times that the lines give. A line without a
 * time has that of the line before it in its job, or else the time at which it was read.
 */

import { makeEventRow, makePageRows } from "./log_rows.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./log_rows.js").LogRow} LogRow */
/** @typedef {import("./log_rows.js").LogJob} LogJob */

/** Number of colours of jobs. */
export const COLOUR_COUNT = 8;

export class MergedLog {
  #window;
  /** Rows that wait to be merged: lines of other jobs with earlier times may come in this moment. */
  #pending = /** @type {LogRow[]} */ ([]);
  /** @type {Map<LogJob, number>} time of the newest row of each job. */
  #newest = new Map();

  /** @param {import("./log_window.js").LogWindow} window */
  constructor(window) {
    this.#window = window;
  }

  get hasPending() {
    return this.#pending.length > 0;
  }

  /**
   * Add events of a job's log stream. Lines that are still written are left out.
   *
   * @param {LogJob} job
   * @param {ServerSentEvent[]} events
   */
  addEvents(job, events) {
    for (const event of events) {
      const row = makeEventRow(event);
      if (row) this.#add(job, row, event.at ?? 0);
    }
  }

  /**
   * Add the newest page of a job's log.
   *
   * @param {LogJob} job
   * @param {import("./log_rows.js").LogPage} page
   * @param {number} receivedAt server time, epoch milliseconds.
   */
  addPage(job, page, receivedAt) {
    for (const row of makePageRows(page)) this.#add(job, row, receivedAt);
  }

  /** Merge the rows that wait; see `LogWindow.merge`. */
  flush() {
    // Sorting is stable: rows of the same time stay in the order of their job.
    const rows = this.#pending.sort((a, b) => (a.at ?? 0) - (b.at ?? 0));
    this.#pending = [];
    return this.#window.merge(rows);
  }

  /** Remove all rows, as for new streams. */
  clear() {
    this.#pending = [];
    this.#newest.clear();
    this.#window.clear();
    this.#window.before = null;
  }

  /**
   * @param {LogJob} job
   * @param {LogRow} row
   * @param {number} receivedAt
   */
  #add(job, row, receivedAt) {
    row.job = job;
    row.at = this.#time(job, row, receivedAt);
    this.#newest.set(job, row.at);
    this.#pending.push(row);
  }

  /**
   * @param {LogJob} job
   * @param {LogRow} row
   * @param {number} receivedAt
   */
  #time(job, { loggedAt, time }, receivedAt) {
    const own = loggedTime(loggedAt ?? "");
    if (!Number.isNaN(own)) return own;
    return this.#newest.get(job) ?? (Date.parse(time ?? "") || receivedAt);
  }
}

/**
 * Return the time of a line; NaN if it has none. A time without a zone is taken to be in UTC.
 *
 * @param {string} loggedAt
 */
function loggedTime(loggedAt) {
  const milliseconds = loggedAt.replace(/(\.\d{3})\d+/, "$1");
  return Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(loggedAt) ? milliseconds : `${milliseconds}Z`);
}
