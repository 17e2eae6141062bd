/** Search through a whole log, on the server, page by page from its end. */

/** @typedef {{cursor: string, number: number, line: string}} LogMatch */

/** Number of matches at which a search stops. */
const MAX_MATCHES = 10_000;

const PAGE_LINES = 1000;

/** Status of a response while the server is busy with other searches; the request is repeated. */
const TOO_MANY_REQUESTS = 429;
const BUSY_RETRY_MS = 1_000;

export class LogSearch {
  /** @type {LogMatch[]} newest first. */
  matches = [];
  /** Index of the current match; -1 before the first is found. */
  current = -1;
  isDone = false;
  /** True if the search stopped at the limit of matches. */
  hasMore = false;
  /** Error that ended the search, as a sentence; "" if there is none. */
  error = "";
  /** @type {"" | "newest" | "oldest"} end of the matches at which the last step went on. */
  wrappedTo = "";
  /** Number of bytes of the log that were searched. */
  readBytes = 0;
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
        const page = await this.#fetch(before);
        this.readBytes += page.read_bytes ?? 0;
        this.matches.push(
          ...page.lines
            .filter(({ match }) => match !== false)
            .reverse()
            .map(({ cursor, line_number: number, line }) => ({ cursor, number, line })),
        );
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

  /**
   * Go to another match: +1 to an older one, -1 to a newer one. Behind the last one this goes on at
   * the other end, as `wrappedTo` tells.
   *
   * @param {number} by
   * @returns {LogMatch | null} null if there is none in this direction, or none yet.
   */
  step(by) {
    const count = this.matches.length;
    const next = this.current + by;
    this.wrappedTo = "";
    if (!count || (next >= count && !this.isDone)) return null;
    if (next >= count) this.wrappedTo = "newest";
    else if (next < 0) this.wrappedTo = "oldest";
    this.current = (next + count) % count;
    return this.matches[this.current];
  }

  /** @param {string | null} before cursor. */
  async #fetch(before) {
    for (;;) {
      try {
        return await this.#fetchPage({ before, limit: PAGE_LINES }, this.#abort.signal);
      } catch (error) {
        if (/** @type {{status?: number}} */ (error).status !== TOO_MANY_REQUESTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS));
        this.#abort.signal.throwIfAborted();
      }
    }
  }
}
