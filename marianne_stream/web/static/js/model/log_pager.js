/**
 * Pages of a log for a window: older and newer ones as one comes near its ends, and those that one
 * jumps to. One page is asked for at a time; a jump takes the place of whatever is under way. It must
 * not know how pages are asked for, or how rows are shown.
 */

export const PAGE_LINES = 1000;
export const CONTEXT_LINES = 600;

/** After a fault nothing is asked for by itself for so long. */
const REST_MS = 2_000;

/** Gets pages, and puts them into a window. */
export class LogPager {
  #window;
  #ask;
  #on;
  #abort = null;
  #restsUntil = 0;

  /**
   * @param {import("./log_window.js").LogWindow} window
   * @param {(parameters: object, signal: AbortSignal) => Promise<object>} ask
   * @param {{older: Function, newer: Function, jumped: Function, joined: Function, say: Function}} on
   *   `older` and `newer` are told what the window became, `jumped` that it holds other rows, `joined`
   *   from which cursor a stream goes on, `say` what is to be said to a person, "" for nothing.
   */
  constructor(window, ask, on) {
    this.#window = window;
    this.#ask = ask;
    this.#on = on;
  }

  /** Older lines, where there are any. */
  older() {
    const { before } = this.#window;
    // A window without a line stands nowhere: its stream says where it begins.
    if (!before || this.#isBusy()) return;
    this.#get({ before, limit: PAGE_LINES }, (page) => {
      // Rows may have gone meanwhile: the page would leave a hole.
      if (this.#window.before !== before) return;
      this.#on.older(this.#window.prepend(page));
      this.#on.say(!page.lines.length && page.before !== null ? "Looking further back …" : "");
    });
  }

  /** Newer lines, where the window does not reach the end; there, a stream goes on. */
  newer() {
    const { after, atEnd } = this.#window;
    if (atEnd || !after || this.#isBusy()) return Promise.resolve(false);
    return this.#get({ after, limit: PAGE_LINES }, (page) => {
      if (this.#window.after !== after || this.#window.atEnd) return;
      this.#on.newer(this.#window.extend(page));
      if (page.stopped_by !== "end") return;
      this.#window.atEnd = true;
      this.#on.joined(this.#window.after);
    });
  }

  /** The beginning of the log. */
  oldest() {
    return this.#jump({ edge: "oldest", limit: PAGE_LINES });
  }

  /** A line with those before and behind it. */
  around(cursor) {
    return this.#jump({ around: cursor, limit: CONTEXT_LINES });
  }

  /** Nothing that is under way counts any more. */
  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  #jump(parameters) {
    this.stop();
    return this.#get(parameters, (page) => {
      this.#window.replace(page);
      this.#on.say("");
      this.#on.jumped();
    });
  }

  #isBusy() {
    return this.#abort !== null || Date.now() < this.#restsUntil;
  }

  /** Asks for a page and uses it; false where it was not to be had. */
  async #get(parameters, use) {
    const abort = (this.#abort = new AbortController());
    try {
      const page = await this.#ask(parameters, abort.signal);
      if (this.#abort !== abort) return false;
      this.#abort = null;
      use(page);
      return true;
    } catch (error) {
      if (this.#abort !== abort) return false;
      this.#abort = null;
      this.#restsUntil = Date.now() + REST_MS;
      const gone = error.code === "cursor_expired";
      this.#on.say(gone ? "That line is not in the log any more." : error.message);
      return false;
    }
  }
}
