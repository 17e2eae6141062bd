/** Search through a whole log, on the server, page by page from its end. */

import { describeError, isExpired, isTransient } from "./request_errors.js";

/** Number of matches at which a search stops. */
const MAX_MATCHES = 10_000;

const PAGE_LINES = 1000;

/** Status of a response while the server is busy with other searches; the request is repeated. */
const TOO_MANY_REQUESTS = 429;
const BUSY_RETRY_MS = 1_000;

export class LogSearch {
  /** @type {string[]} cursors of the matching lines, newest first. */
  matches = [];
  /** Index of the current match; -1 before the first is found. */
  current = -1;
  isDone = false;
  /** True once the server has answered: the text is one that can be searched for. */
  isAccepted = false;
  /** True if the search stopped at the limit of matches. */
  hasMore = false;
  /** Error that ended the search, as a sentence; "" if there is none. */
  error = "";
  /** @type {"" | "newest" | "oldest"} end of the matches at which the last step went on. */
  wrappedTo = "";
  /** Number of bytes of the log that were searched. */
  readBytes = 0;
  /** Cursor of the end of what was searched; "" before the first page. */
  #end = "";
  /** @type {Promise<void> | null} search for newer matches in progress. */
  #refresh = null;
  #fetchPage;
  #onChange;
  #abort = new AbortController();

  /**
   * @param {import("./log_pager.js").FetchPage} fetchPage fetches a page of matching lines.
   * @param {() => void} onChange is called after each page.
   */
  constructor(fetchPage, onChange) {
    this.#fetchPage = fetchPage;
    this.#onChange = onChange;
  }

  /** Search to the start of the log, or to the limit of matches. */
  async run() {
    /** @type {string | null} */
    let before = null;
    try {
      do {
        const page = await this.#fetch({ before });
        this.isAccepted = true;
        this.#end ||= page.after ?? "";
        this.readBytes += page.read_bytes ?? 0;
        this.matches.push(...matchCursors(page));
        before = page.before;
        this.hasMore = before !== null && this.matches.length >= MAX_MATCHES;
        if (this.current < 0 && this.matches.length) this.current = 0;
        this.isDone = before === null || this.hasMore;
        this.#onChange();
      } while (!this.isDone);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error instanceof Error ? error.message : String(error);
      this.isDone = true;
      this.#onChange();
    }
  }

  close() {
    this.#abort.abort();
  }

  /** Search what was written since. */
  async refresh() {
    if (!this.isDone || this.error || !this.#end) return;
    this.#refresh ??= this.#searchNewer().finally(() => (this.#refresh = null));
    await this.#refresh;
  }

  /**
   * Go to another match: +1 to an older one, -1 to a newer one. Behind the last one this goes on at
   * the other end, as `wrappedTo` tells.
   *
   * @param {number} by
   * @returns {Promise<string | null>} its cursor; null if there is none in this direction, or none yet.
   */
  async step(by) {
    const isInside = () => this.current + by >= 0 && this.current + by < this.matches.length;
    if (!isInside()) await this.refresh();
    const count = this.matches.length;
    this.wrappedTo = "";
    if (!count || (!isInside() && !this.isDone)) return null;
    if (!isInside()) this.wrappedTo = by > 0 ? "newest" : "oldest";
    this.current = (this.current + by + count) % count;
    return this.matches[this.current];
  }

  async #searchNewer() {
    try {
      for (let isAtEnd = false; !isAtEnd;) {
        const page = await this.#fetch({ after: this.#end });
        this.#end = page.after ?? this.#end;
        isAtEnd = page.stopped_by === "end";
        const newer = matchCursors(page);
        if (!newer.length) continue;
        this.matches.unshift(...newer);
        this.current = this.current < 0 ? 0 : this.current + newer.length;
        if (this.matches.length > MAX_MATCHES) {
          this.matches.length = MAX_MATCHES;
          this.current = Math.min(this.current, MAX_MATCHES - 1);
          this.hasMore = true;
        }
        this.#onChange();
      }
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (isExpired(error)) this.#restart();
      else if (!isTransient(error)) {
        this.error = describeError(error);
        this.#onChange();
      }
      // Otherwise the known matches stay. The next step, or the next line, tries again.
    }
  }

  /** Search anew: the log was cut. */
  #restart() {
    this.matches = [];
    this.current = -1;
    this.isDone = this.hasMore = false;
    this.#end = "";
    this.readBytes = 0;
    this.#onChange();
    this.run();
  }

  /** @param {{before?: string | null, after?: string}} place */
  async #fetch(place) {
    for (;;) {
      try {
        return await this.#fetchPage({ ...place, limit: PAGE_LINES }, this.#abort.signal);
      } catch (error) {
        if (/** @type {{status?: number}} */ (error).status !== TOO_MANY_REQUESTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS));
        this.#abort.signal.throwIfAborted();
      }
    }
  }
}

/**
 * Return the cursors of the matches of a page, newest first.
 *
 * @param {import("./log_rows.js").LogPage} page
 */
function matchCursors({ lines }) {
  return lines
    .filter(({ match }) => match !== false)
    .map(({ cursor }) => cursor)
    .reverse();
}
