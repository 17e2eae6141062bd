/**
 * Pages of several logs for a merged log: those of a place, and older and newer ones as the reader
 * scrolls near its ends. Pages of several jobs are loaded at once; opening a place replaces any other
 * request.
 */

import { parseLoggedTime } from "./job_lines.js";
import { CONTEXT_LINES, PAGE_LINES, RETRY_DELAY_MS } from "./log_pager.js";
import { describeError, isExpired, isTransient, SLOW_SEARCH } from "./request_errors.js";

/** @typedef {import("./log_rows.js").LogJob} LogJob */
/** @typedef {import("./log_rows.js").LogPage} LogPage */
/** @typedef {import("./log_pager.js").PageQuery} PageQuery */

/**
 * @typedef {object} MergedPagerOptions
 * @property {LogJob[]} jobs
 * @property {import("./merged_log.js").MergedLog} log
 * @property {(job: LogJob, query: PageQuery, signal: AbortSignal) => Promise<LogPage>} fetchPage
 * @property {() => number} now returns the server's time.
 * @property {(change: {added: number}) => void} onOlder rows were added at the start of the window.
 * @property {(change: import("./log_window.js").MergeChange) => void} onNewer rows were added at its
 *   end.
 * @property {() => void} onEndReached the window reaches the ends of the logs: streams can continue.
 * @property {() => void} onExpired lines behind the window are gone: the logs have to be opened anew.
 * @property {(sentence: string) => void} onMessage show a message; "" removes it.
 * @property {(missing: MissingPage[]) => void} onMissing the logs open without those of some jobs.
 */

/** @typedef {{job: LogJob, reason: string}} MissingPage */

/**
 * @typedef {object} LogPlace
 * @property {string} time the server's parameter `time`; "" for an end of the logs.
 * @property {number} [end] infinite, for the beginning or the end.
 */

/** Beginning of the logs. */
export const START = { time: "", end: -Infinity };

/** End of the logs. */
export const END = { time: "", end: Infinity };

/**
 * @typedef {object} FirstPage page of a job with which the view opens.
 * @property {LogJob} job
 * @property {LogPage | null} page null after an error.
 * @property {unknown} [error]
 */

/** Number of lines of each job with which the view opens. */
const FIRST_PAGE_LINES = 300;

export class MergedPager {
  #options;
  /** @type {AbortController | null} */
  #abort = null;
  #pausedUntil = 0;

  /** @param {MergedPagerOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * Open the logs at a place. Requests are repeated after errors that pass; after others, the log is
   * left out.
   *
   * @param {LogPlace} place
   * @returns {Promise<boolean>} false if another request has replaced this one.
   */
  async open(place) {
    const { jobs, log, now, onMessage } = this.#options;
    this.cancel();
    const { signal } = (this.#abort = new AbortController());
    const query = placeQuery(place);
    for (;;) {
      const results = await Promise.all(jobs.map((job) => this.#fetchFirst(job, query, signal)));
      if (signal.aborted) return false;
      const failed = results.find(({ error }) => error && isTransient(error));
      if (!failed) {
        this.#abort = null;
        const isAtEnd = (/** @type {LogPage} */ page) => isLastPage(page, place);
        const from = place.end ?? parseLoggedTime(place.time, log.localOffset);
        const pages = results.map(({ page }) => page);
        log.open(pages, { from, isAtEnd, receivedAt: now() });
        onMessage("");
        // At the end, the streams tell which logs there are.
        if (place !== END) this.#tellMissing(results, place);
        return true;
      }
      onMessage(describeError(failed.error));
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
      if (signal.aborted) return false;
    }
  }

  /** Show older lines, loading them if necessary, until some are shown or there are none. */
  loadOlder() {
    const { log, onOlder } = this.#options;
    return this.#load(async (signal) => {
      for (;;) {
        const change = log.showOlder();
        if (change) onOlder(change);
        const pages = log.olderPages;
        if (change || !pages.length) return;
        await Promise.all(pages.map(({ job, before }) => this.#loadOlderPage(job, before, signal)));
        if (signal.aborted) return;
      }
    });
  }

  /** Show newer lines, loading them if necessary, if the window does not reach the ends of the logs. */
  loadNewer() {
    const { log, onNewer, onEndReached } = this.#options;
    return this.#load(async (signal) => {
      while (!log.isAtEnd) {
        const pages = log.newerPages;
        await Promise.all(pages.map(({ job, after }) => this.#loadNewerPage(job, after, signal)));
        if (signal.aborted) return;
        const change = log.showNewer();
        if (change) onNewer(change);
        if (log.isAtEnd) onEndReached();
        if (change) return;
      }
    });
  }

  /** Cancel the requests in progress; their pages are not used. */
  cancel() {
    this.#abort?.abort();
    this.#abort = null;
  }

  /**
   * Request the page of a job with which the view opens.
   *
   * @param {LogJob} job
   * @param {PageQuery} query
   * @param {AbortSignal} signal
   * @returns {Promise<FirstPage>}
   */
  async #fetchFirst(job, query, signal) {
    try {
      return { job, page: await this.#options.fetchPage(job, query, signal) };
    } catch (error) {
      return { job, page: null, error };
    }
  }

  /**
   * @param {FirstPage[]} results
   * @param {LogPlace} place
   */
  #tellMissing(results, { time }) {
    const missing = results.flatMap(({ job, page, error }) => {
      if (error) return [{ job, reason: describeError(error) }];
      const isLost = time !== "" && page?.stopped_by === "time" && !page.target;
      return isLost ? [{ job, reason: SLOW_SEARCH }] : [];
    });
    if (missing.length) this.#options.onMissing(missing);
  }

  /**
   * @param {LogJob} job
   * @param {string} before
   * @param {AbortSignal} signal
   */
  async #loadOlderPage(job, before, signal) {
    const { log, fetchPage, onMessage } = this.#options;
    try {
      const page = await fetchPage(job, { before, limit: PAGE_LINES }, signal);
      if (signal.aborted) return;
      log.addOlder(job, before, page);
      onMessage(!page.lines.length && page.before !== null ? "Searching older lines …" : "");
    } catch (error) {
      if (signal.aborted || isTransient(error)) throw error;
      log.loseOlder(job, before, isExpired(error) ? "" : describeError(error));
      onMessage("");
    }
  }

  /**
   * @param {LogJob} job
   * @param {string} after
   * @param {AbortSignal} signal
   */
  async #loadNewerPage(job, after, signal) {
    const { log, fetchPage, now } = this.#options;
    try {
      const page = await fetchPage(job, { after, limit: PAGE_LINES }, signal);
      if (!signal.aborted) log.addNewer(job, after, page, now());
    } catch (error) {
      if (signal.aborted || isTransient(error) || isExpired(error)) throw error;
      log.loseNewer(job, after, describeError(error));
    }
  }

  /**
   * Load pages, unless a request is in progress or one has failed just now.
   *
   * @param {(signal: AbortSignal) => Promise<void>} load
   */
  async #load(load) {
    if (this.#abort || Date.now() < this.#pausedUntil) return;
    const abort = (this.#abort = new AbortController());
    try {
      await load(abort.signal);
    } catch (error) {
      if (this.#abort !== abort) return;
      this.#pausedUntil = Date.now() + RETRY_DELAY_MS;
      if (isExpired(error)) this.#options.onExpired();
      else this.#options.onMessage(describeError(error));
    } finally {
      if (this.#abort === abort) this.#abort = null;
    }
  }
}

/**
 * Return the query of the first page at a place.
 *
 * @param {LogPlace} place
 * @returns {PageQuery}
 */
function placeQuery(place) {
  if (place.time) return { time: place.time, limit: CONTEXT_LINES };
  return { from: place === START ? "start" : null, limit: FIRST_PAGE_LINES };
}

/**
 * Return true if a page of a place reaches the end of the log.
 *
 * @param {LogPage} page
 * @param {LogPlace} place
 */
function isLastPage({ stopped_by: stoppedBy, target }, { time, end }) {
  return end === Infinity || stoppedBy === "end" || (time !== "" && !target);
}
