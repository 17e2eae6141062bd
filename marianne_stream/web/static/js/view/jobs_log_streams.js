/** Subscriptions of a view to the logs of several jobs, whose new lines are merged in intervals. */

import { plainText } from "../model/ansi.js";
import { isTerminal } from "../model/status.js";
import { jobLogLines } from "./log_source.js";
import { LogStream } from "./log_stream.js";

/** @typedef {import("../model/log_rows.js").LogJob} LogJob */

/**
 * @typedef {object} JobsLogStreamsOptions
 * @property {import("./page.js").Page} page
 * @property {LogJob[]} jobs
 * @property {import("../model/merged_log.js").MergedLog} log
 * @property {() => Record<string, string | number | null>} getFilter returns parameters of the streams.
 * @property {() => void} onMerge new lines wait to be merged.
 * @property {(job: LogJob) => void} onReplaced the log of a job is another one now.
 * @property {(sentences: string) => void} onProblems tells which logs cannot be followed; "" for none.
 */

/** Time between two merges of new lines. */
const MERGE_INTERVAL_MS = 125;

export class JobsLogStreams {
  #options;
  /** @type {Map<LogJob, LogStream>} */
  #streams;
  /** @type {Set<LogJob>} jobs that have not ended. */
  #active = new Set();
  /** @type {Map<LogJob, string>} sentence of a job whose log cannot be followed. */
  #problems = new Map();
  /** @type {Map<LogJob, string>} the same of a job without whose page the logs were opened. */
  #missing = new Map();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #mergeTimer = null;

  /** @param {JobsLogStreamsOptions} options */
  constructor(options) {
    this.#options = options;
    this.#streams = new Map(options.jobs.map((job) => [job, this.#makeStream(job)]));
  }

  /** Follow the logs from the newest lines of the merged log on. */
  follow() {
    for (const [job, stream] of this.#streams) stream.follow(this.#options.log.cursorOf(job));
  }

  /** End the subscriptions. */
  end() {
    for (const stream of this.#streams.values()) stream.end();
    this.#problems.clear();
    this.#missing.clear();
    this.#options.onProblems("");
  }

  /** End the subscriptions for good. */
  close() {
    clearTimeout(this.#mergeTimer ?? undefined);
    for (const stream of this.#streams.values()) stream.close();
  }

  /**
   * Tell that the logs open without those of some jobs.
   *
   * @param {import("../model/merged_pager.js").MissingPage[]} missing
   */
  showMissing(missing) {
    this.#missing = new Map(missing.map(({ job, reason }) => [job, problemText(job, reason)]));
    this.#showProblems();
  }

  /** Follow the logs of jobs that run again. */
  onRosterChange() {
    for (const [job, stream] of this.#streams) {
      const entry = this.#options.page.roster.get(job.id);
      const isActive = entry !== undefined && !isTerminal(entry.status);
      const runsAgain = isActive && !this.#active.has(job);
      if (runsAgain && stream.hasEnded && this.#options.log.isAtEnd) stream.resume();
      if (isActive) this.#active.add(job);
      else this.#active.delete(job);
    }
  }

  /** @param {LogJob} job */
  #makeStream(job) {
    const { page, getFilter } = this.#options;
    return new LogStream({
      source: jobLogLines(page, job.id),
      getFilter,
      onEvents: (events) => this.#onEvents(job, events),
      onState: (state) => this.#onState(job, state),
    });
  }

  /**
   * @param {LogJob} job
   * @param {import("../wire/event_parser.js").ServerSentEvent[]} events
   */
  #onEvents(job, events) {
    const { log, onReplaced } = this.#options;
    if (log.addEvents(job, events, Date.now())) this.#scheduleMerge();
    else onReplaced(job);
  }

  #scheduleMerge() {
    const { log, onMerge } = this.#options;
    if (!log.hasPending) return;
    this.#mergeTimer ??= setTimeout(() => {
      this.#mergeTimer = null;
      onMerge();
      this.#scheduleMerge();
    }, MERGE_INTERVAL_MS);
  }

  /**
   * @param {LogJob} job
   * @param {import("../wire/event_stream.js").StreamState} state
   */
  #onState(job, { detail = "", status }) {
    const sentence = detail && status !== 401 ? problemText(job, detail) : "";
    // A note that the reader has closed does not come back without a change.
    if (sentence === (this.#problems.get(job) ?? "")) return;
    this.#problems.set(job, sentence);
    this.#showProblems();
  }

  #showProblems() {
    const sentences = [...this.#missing.values(), ...this.#problems.values()].filter(Boolean);
    this.#options.onProblems([...new Set(sentences)].join(" "));
  }
}

/**
 * @param {LogJob} job
 * @param {string} detail
 */
function problemText({ id }, detail) {
  return `${plainText(id)}: ${plainText(detail)}`;
}
