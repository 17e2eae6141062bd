/**
 * Log of several jobs, in the order of the times that the lines give. Lines are shown up to the place
 * to which the logs of all jobs are loaded, so that none comes between lines that are shown.
 */

import { JobLines } from "./job_lines.js";
import { makeEventRow } from "./log_rows.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./log_rows.js").LogRow} LogRow */
/** @typedef {import("./log_rows.js").LogPage} LogPage */
/** @typedef {import("./log_rows.js").LogJob} LogJob */
/** @typedef {import("./log_window.js").MergeChange} MergeChange */

/** Number of colours of jobs. */
export const COLOUR_COUNT = 8;

/** Time for which new lines wait for earlier ones of other jobs. */
export const MERGE_DELAY_MS = 250;

export class MergedLog {
  #window;
  #jobs;
  /** @type {Map<LogJob, JobLines>} */
  #lines = new Map();
  /** Offset of the server's local time from UTC. */
  localOffset = "Z";
  /** Time at which the logs were opened, epoch milliseconds; infinite for an end of them. */
  from = Infinity;
  /** Time of the newest line of what came together, and when it came by the clock of this machine. */
  #arrivals = /** @type {{at: number, cameAt: number}[]} */ ([]);

  /**
   * @param {import("./log_window.js").LogWindow} window
   * @param {LogJob[]} jobs
   */
  constructor(window, jobs) {
    this.#window = window;
    this.#jobs = jobs;
    this.clear();
  }

  /** True while new lines wait for those of other jobs. */
  get hasPending() {
    return this.#arrivals.length > 0;
  }

  /** True if the window reaches the ends of the logs, so that new lines are added to it. */
  get isAtEnd() {
    return this.#window.atEnd;
  }

  /** Remove all lines. */
  clear() {
    this.#arrivals = [];
    this.#lines = new Map(this.#jobs.map((job) => [job, new JobLines(job, this.localOffset)]));
    this.#window.clear();
    this.#update();
  }

  /**
   * Take the pages with which the logs open.
   *
   * @param {(LogPage | null)[]} pages of the jobs; null for a job without a log.
   * @param {object} place
   * @param {number} place.from time at which the view opens, epoch milliseconds.
   * @param {(page: LogPage) => boolean} place.isAtEnd returns true for a page up to the end of a log.
   * @param {number} place.receivedAt server time.
   */
  open(pages, { from, isAtEnd, receivedAt }) {
    this.clear();
    this.from = from;
    this.#window.atEnd = false;
    for (const [index, page] of pages.entries()) {
      if (page) this.#parts[index].open(page, { from, isAtEnd: isAtEnd(page), receivedAt });
    }
    this.showOlder();
    this.showNewer();
  }

  /**
   * Show older lines, as far as the logs of all jobs are loaded.
   *
   * @returns {{added: number} | null} null if more have to be loaded first.
   */
  showOlder() {
    const floor = Math.max(...this.#parts.map((lines) => lines.floor));
    const rows = this.#parts.flatMap((lines) => lines.takeOlder(floor)).sort(byTime);
    if (rows.length) {
      const dropped = this.#window.prependRows(rows);
      for (const lines of this.#parts) lines.returnNewer(rowsOf(lines, dropped));
      if (dropped.length) this.leaveEnd();
    }
    this.#update();
    return rows.length ? { added: rows.length } : null;
  }

  /**
   * Show newer lines, as far as the logs of all jobs are loaded. The window is at the end then if
   * they are loaded to their ends.
   *
   * @returns {MergeChange | null} null if more have to be loaded first.
   */
  showNewer() {
    const ceiling = Math.min(...this.#parts.map((lines) => lines.ceiling));
    if (ceiling === Infinity) this.#window.atEnd = true;
    return this.#show(ceiling);
  }

  /**
   * Add events of a job's log stream. Lines that are still written are left out.
   *
   * @param {LogJob} job
   * @param {ServerSentEvent[]} events
   * @param {number} now local time.
   * @returns {boolean} false if the log is another one now, and has to be opened anew.
   */
  addEvents(job, events, now) {
    const lines = this.#get(job);
    for (const event of events) {
      const row = makeEventRow(event);
      if (!row) continue;
      if (row.kind === "gap" && row.data.reason === "cursor_expired") return false;
      lines.addRow(row, Date.parse(row.time ?? "") || event.at || now);
    }
    const newest = lines.newer.at(-1);
    if (newest) this.#arrivals.push({ at: newest.at ?? 0, cameAt: now });
    return true;
  }

  /**
   * Show the lines that have waited for those of other jobs.
   *
   * @param {number} now local time.
   * @param {{keepRows?: boolean}} [options] `keepRows` while the reader does not follow the end.
   * @returns {MergeChange | null}
   */
  flush(now, { keepRows = false } = {}) {
    if (keepRows && this.#window.isFull) this.leaveEnd();
    let ceiling = -Infinity;
    while (this.hasPending && this.#arrivals[0].cameAt <= now - MERGE_DELAY_MS) {
      ceiling = Math.max(ceiling, this.#arrivals.shift()?.at ?? 0);
    }
    return this.#show(ceiling, { keepRows });
  }

  /** Stop taking lines of streams: newer ones are loaded when the reader comes to them. */
  leaveEnd() {
    this.#arrivals = [];
    this.#window.atEnd = false;
    for (const lines of this.#parts) lines.leaveEnd();
  }

  /**
   * Return the pages without which no older lines can be shown; none at the beginning of all logs.
   *
   * @returns {{job: LogJob, before: string}[]}
   */
  get olderPages() {
    const floor = Math.max(...this.#parts.map((lines) => lines.floor));
    return this.#parts.flatMap(({ job, before, floor: own }) =>
      before !== null && own === floor ? [{ job, before }] : [],
    );
  }

  /**
   * Return the pages without which no newer lines can be shown; none at the end of all logs.
   *
   * @returns {{job: LogJob, after: string}[]}
   */
  get newerPages() {
    const ceiling = Math.min(...this.#parts.map((lines) => lines.ceiling));
    return this.#parts.flatMap(({ job, after, ceiling: own }) =>
      after !== null && own === ceiling ? [{ job, after }] : [],
    );
  }

  /**
   * Add a page of older lines.
   *
   * @param {LogJob} job
   * @param {string} before cursor for which it was loaded.
   * @param {LogPage} page
   */
  addOlder(job, before, page) {
    const lines = this.#get(job);
    // Lines wait again that were shown when the page was requested: it would leave a hole.
    if (lines.before === before) lines.addOlder(page);
  }

  /**
   * Go on without the older lines of a job, which cannot be loaded.
   *
   * @param {LogJob} job
   * @param {string} before cursor for which they were requested.
   * @param {string} detail reason; "" if they are no longer in the log.
   */
  loseOlder(job, before, detail) {
    const lines = this.#get(job);
    if (lines.before === before) lines.loseOlder(detail);
  }

  /**
   * Go on without the newer lines of a job, which cannot be loaded.
   *
   * @param {LogJob} job
   * @param {string} after cursor for which they were requested.
   * @param {string} detail reason.
   */
  loseNewer(job, after, detail) {
    const lines = this.#get(job);
    if (lines.after === after) lines.loseNewer(detail);
  }

  /**
   * Add a page of newer lines.
   *
   * @param {LogJob} job
   * @param {string} after cursor for which it was loaded.
   * @param {LogPage} page
   * @param {number} receivedAt server time.
   */
  addNewer(job, after, page, receivedAt) {
    const lines = this.#get(job);
    if (lines.after === after) lines.addNewer(page, receivedAt);
  }

  /**
   * Return the cursor from which a stream continues a log; "" for a log that does not exist yet.
   *
   * @param {LogJob} job
   */
  cursorOf(job) {
    return this.#get(job).cursor;
  }

  get #parts() {
    return [...this.#lines.values()];
  }

  /** @param {LogJob} job */
  #get(job) {
    return /** @type {JobLines} */ (this.#lines.get(job));
  }

  /**
   * @param {number} ceiling time of the newest line to show.
   * @param {{keepRows?: boolean}} [options]
   */
  #show(ceiling, { keepRows = false } = {}) {
    // Sorting is stable: rows of the same time stay in the order of their job.
    const rows = this.#parts.flatMap((lines) => lines.takeNewer(ceiling)).sort(byTime);
    if (!rows.length) return null;
    const change = this.#window.merge(rows, { keepRows });
    for (const lines of this.#parts) lines.returnOlder(rowsOf(lines, change.dropped));
    this.#update();
    return change;
  }

  /** Let the window know whether older lines exist. */
  #update() {
    const hasOlder = this.#parts.some(({ older, before }) => older.length || before !== null);
    this.#window.before = hasOlder ? "" : null;
  }
}

/**
 * @param {LogRow} a
 * @param {LogRow} b
 */
function byTime({ at: a = 0 }, { at: b = 0 }) {
  return a - b;
}

/**
 * @param {JobLines} lines
 * @param {LogRow[]} rows
 */
function rowsOf({ job }, rows) {
  return rows.filter((row) => row.job === job);
}
