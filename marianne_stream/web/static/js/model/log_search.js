/**
 * A search through a whole log, on the server, page by page from its end. It must not know how
 * matches are shown.
 */

/** So many matches are found; a search that has more stops there. */
const MOST_MATCHES = 10_000;

/** When others search, the server says so: then it is tried again. */
const BUSY = 429;
const BUSY_WAIT_MS = 1_000;

/** One search. */
export class LogSearch {
  /** The matches so far, the newest first: `{cursor, number, line}`. */
  matches = [];
  /** Which of them is looked at; -1 before the first. */
  current = -1;
  done = false;
  /** Whether there are more than are kept. */
  more = false;
  /** What went wrong, as a sentence; "" where nothing did. */
  fault = "";
  /** How much of the log was looked at, in bytes. */
  readBytes = 0;
  #abort = new AbortController();

  /**
   * @param {(parameters: object, signal: AbortSignal) => Promise<object>} page asks for a page of
   *   what is searched for.
   * @param {() => void} onChange is called when there is something new.
   */
  constructor(page, onChange) {
    this.page = page;
    this.onChange = onChange;
  }

  /** Searches to the log's beginning, or until there are matches enough. */
  async run() {
    let before = null;
    try {
      do {
        const page = await this.#ask(before);
        this.readBytes += page.read_bytes;
        this.matches.push(
          ...page.lines
            .filter(({ match }) => match !== false)
            .reverse()
            .map(({ cursor, line_number: number, line }) => ({ cursor, number, line })),
        );
        before = page.before;
        this.more = before !== null && this.matches.length >= MOST_MATCHES;
        if (this.current < 0 && this.matches.length) this.current = 0;
        this.done = before === null || this.more;
        this.onChange();
      } while (!this.done);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.fault = error.message;
      this.done = true;
      this.onChange();
    }
  }

  /** Ends it. */
  stop() {
    this.#abort.abort();
  }

  /** Goes to another match: +1 to an older one, -1 to a newer, round at the ends. */
  step(by) {
    const count = this.matches.length;
    if (!count) return null;
    this.current = (this.current + by + count) % count;
    return this.matches[this.current];
  }

  async #ask(before) {
    for (;;) {
      try {
        return await this.page({ before, limit: 1000 }, this.#abort.signal);
      } catch (error) {
        if (error.status !== BUSY) throw error;
        await new Promise((resolve) => setTimeout(resolve, BUSY_WAIT_MS));
        this.#abort.signal.throwIfAborted();
      }
    }
  }
}
