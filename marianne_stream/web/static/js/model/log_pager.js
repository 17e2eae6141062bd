/**
 * Pages of a log for a log window: older and newer ones as the reader scrolls near its ends, and the
 * target of a jump. One request is in progress at a time; a jump replaces any other.
 */

import { describeError, isExpired, isTransient } from "./request_errors.js";

/**
 * @typedef {import("./log_rows.js").LogPage} LogPage
 * @typedef {import("./log_window.js").LogWindow} LogWindow
 * @typedef {Record<string, string | number | boolean | null>} PageQuery query of `/logs/lines`.
 * @typedef {(query: PageQuery, signal: AbortSignal) => Promise<LogPage>} FetchPage
 */

/**
 * @typedef {object} PagerCallbacks
 * @property {(change: {added: number}) => void} onOlder rows were added at the start of the window.
 * @property {(change: {added: number, dropped: number}) => void} onNewer rows were added at its end.
 * @property {() => void} onReplaced the window has other rows.
 * @property {(cursor: string) => void} onNewest the window has the newest lines; a stream can
 *   continue at the cursor. It is "" if they could not be loaded: a stream can tell why.
 * @property {(cursor: string) => void} onEndReached the window reaches the end of the log; a stream
 *   can continue at the cursor.
 * @property {() => void} onEndLost what is written now cannot be loaded: the log was cut, or the window
 *   has no position in it.
 * @property {(sentence: string) => void} onMessage show a message; "" removes it.
 */

export const PAGE_LINES = 1000;
export const CONTEXT_LINES = 600;

/** Time after which new matches are loaded, with the lines behind them. */
const WRITTEN_DELAY_MS = 1_000;

/** Status of a response to parameters that the server does not accept. */
const BAD_REQUEST = 400;

/** After a failed request, pause loading while scrolling for this long. */
export const RETRY_DELAY_MS = 2_000;

export class LogPager {
  #window;
  #fetchPage;
  #on;
  /** @type {AbortController | null} */
  #abort = null;
  #pausedUntil = 0;
  /** Cursor of a page that cannot be had, so that it is not requested again until the next jump. */
  #refused = "";
  /** @type {ReturnType<typeof setTimeout> | null} */
  #writtenTimer = null;

  /**
   * @param {LogWindow} window
   * @param {FetchPage} fetchPage
   * @param {PagerCallbacks} on
   */
  constructor(window, fetchPage, on) {
    this.#window = window;
    this.#fetchPage = fetchPage;
    this.#on = on;
  }

  /** Load older lines, if there are any. */
  loadOlder() {
    const { before } = this.#window;
    // Without a line, the window has no position yet: its stream will give one.
    if (!before || before === this.#refused || this.#isBusy()) return;
    this.#load({ before, limit: PAGE_LINES }, (page) => {
      // Rows were dropped while the request was in progress: the page would leave a hole.
      if (this.#window.before !== before) return;
      this.#on.onOlder(this.#window.prepend(page));
      this.#on.onMessage(searchMessage(page));
    });
  }

  /**
   * Load newer lines, if the window does not reach the end of the log.
   *
   * @returns {Promise<boolean>} true if a page was loaded.
   */
  loadNewer() {
    const { after, atEnd } = this.#window;
    const canLoad = !atEnd && after && after !== this.#refused && !this.#isBusy();
    if (!canLoad) return Promise.resolve(false);
    return this.#load({ after, limit: PAGE_LINES }, (page) => {
      if (this.#window.after !== after || this.#window.atEnd) return;
      this.#on.onMessage("");
      this.#on.onNewer(this.#window.append(page));
      if (page.stopped_by !== "end") return;
      this.#window.atEnd = true;
      this.#on.onEndReached(this.#window.after);
    });
  }

  /** Load what has been written since the newest lines were loaded, in a moment. */
  loadWrittenSoon() {
    this.#writtenTimer ??= setTimeout(() => this.#loadWritten(), WRITTEN_DELAY_MS);
  }

  #loadWritten() {
    this.#writtenTimer = null;
    const { after, atEnd } = this.#window;
    if (!atEnd) return;
    if (this.#isBusy()) {
      this.loadWrittenSoon();
      return;
    }
    if (!after) {
      this.#on.onEndLost();
      return;
    }
    const use = (/** @type {LogPage} */ page) => {
      if (this.#window.after !== after || !this.#window.atEnd) return;
      this.#on.onMessage("");
      this.#on.onNewer(this.#window.append(page));
      if (page.stopped_by !== "end") this.loadWrittenSoon();
    };
    this.#load({ after, limit: PAGE_LINES }, use, (error) => {
      if (isExpired(error)) this.#on.onEndLost();
      else if (isTransient(error)) this.loadWrittenSoon();
    });
  }

  /**
   * Replace the window by the first page of the log.
   *
   * @returns {Promise<boolean>} true if the page was loaded.
   */
  jumpToStart() {
    return this.#jump({ from: "start", limit: PAGE_LINES });
  }

  /**
   * Replace the window by a line and those around it.
   *
   * @param {string} cursor
   * @returns {Promise<boolean>} true if the page was loaded.
   */
  jumpTo(cursor) {
    return this.#jump({ around: cursor, limit: CONTEXT_LINES });
  }

  /**
   * Replace the window by the line with a number or a time, and those around it.
   *
   * @param {PageQuery} place the parameters `line` and `check`, or `time`.
   * @returns {Promise<LogPage | null>} the page, whose `target` is the line; null if it was not loaded.
   */
  async jumpToPlace(place) {
    /** @type {LogPage | null} */
    let found = null;
    await this.#jump({ ...place, limit: CONTEXT_LINES }, (page) => (found = page));
    return found;
  }

  /**
   * Replace the window by the newest lines of the log.
   *
   * @returns {Promise<boolean>} false if another request has replaced this one.
   */
  async loadNewest() {
    this.cancel();
    const abort = (this.#abort = new AbortController());
    /** @type {LogPage | null} */
    let page = null;
    /** @type {any} */
    let failure = null;
    try {
      page = await this.#fetchPage({ limit: PAGE_LINES }, abort.signal);
    } catch (error) {
      failure = error;
    }
    if (this.#abort !== abort) return false;
    this.#abort = null;
    if (page) this.#window.replace(page, { atEnd: true });
    else this.#window.clear();
    const isRefused = failure?.status === BAD_REQUEST;
    this.#on.onMessage(isRefused ? describeError(failure) : searchMessage(page));
    // Otherwise the stream waits for a log that does not exist yet, and connects again to a server.
    if (!isRefused) this.#on.onNewest(page?.after ?? "");
    return true;
  }

  /** Cancel the request in progress; its page is not used. */
  cancel() {
    this.#abort?.abort();
    this.#abort = null;
    this.#refused = "";
    if (this.#writtenTimer !== null) clearTimeout(this.#writtenTimer);
    this.#writtenTimer = null;
  }

  /**
   * @param {PageQuery} query
   * @param {(page: LogPage) => void} [use] is called once the window has the page.
   */
  #jump(query, use = () => {}) {
    this.cancel();
    return this.#load(query, (page) => {
      this.#window.replace(page);
      this.#on.onMessage("");
      this.#on.onReplaced();
      use(page);
    });
  }

  #isBusy() {
    return this.#abort !== null || Date.now() < this.#pausedUntil;
  }

  /**
   * Fetch a page and use it, unless another request has replaced this one.
   *
   * @param {PageQuery} query
   * @param {(page: LogPage) => void} use
   * @param {(error: unknown) => void} [onError] is called after its message is shown.
   */
  async #load(query, use, onError = () => {}) {
    const abort = (this.#abort = new AbortController());
    try {
      const page = await this.#fetchPage(query, abort.signal);
      if (this.#abort !== abort) return false;
      this.#abort = null;
      use(page);
      return true;
    } catch (error) {
      if (this.#abort !== abort) return false;
      this.#abort = null;
      this.#pausedUntil = Date.now() + RETRY_DELAY_MS;
      if (!isTransient(error)) this.#refused = String(query.before ?? query.after ?? "");
      this.#on.onMessage(describeError(error));
      onError(error);
      return false;
    }
  }
}

/**
 * Return a message if the search for the lines of a page goes on; "" otherwise.
 *
 * @param {LogPage | null} page
 */
function searchMessage(page) {
  return page && !page.lines.length && page.before !== null ? "Searching older lines …" : "";
}
