/** Subscription of a view to a log or a file, from a cursor or from its present end. */

import { getJson, withQuery } from "../wire/api.js";

/** Number of lines with which a log opens that could not be loaded otherwise. */
const TAIL_LINES = 1000;

/**
 * @typedef {object} LogStreamOptions
 * @property {import("./log_source.js").LogLines} source
 * @property {() => Record<string, string | number | null>} getFilter returns parameters of the stream.
 * @property {(events: import("../wire/event_parser.js").ServerSentEvent[]) => void} onEvents
 * @property {(state: import("../wire/event_stream.js").StreamState) => void} onState
 */

export class LogStream {
  #options;
  /** @type {(() => void) | null} */
  #unsubscribe = null;
  #isClosed = false;
  /** Cursor of the last line, or that to follow from. */
  #cursor = "";
  /** True while the view is out of sight: nothing is followed. */
  isPaused = false;
  /** True once the log has ended, or cannot be followed. */
  hasEnded = false;

  /** @param {LogStreamOptions} options */
  constructor(options) {
    this.#options = options;
  }

  get isOpen() {
    return this.#unsubscribe !== null;
  }

  /**
   * Follow the log; a subscription that exists ends.
   *
   * @param {string} cursor position to follow from; "" for the newest lines.
   * @param {number} [tailLines] number of newest lines to begin with, without a cursor.
   */
  follow(cursor, tailLines = TAIL_LINES) {
    this.end();
    if (this.#isClosed || this.isPaused) return;
    this.#cursor = cursor;
    this.hasEnded = false;
    const { source, getFilter } = this.#options;
    // Behind a cursor, all windows follow the same part.
    const firstLines = cursor ? TAIL_LINES : tailLines;
    this.#unsubscribe = source.follow({
      parameters: { tail_lines: firstLines, ...getFilter() },
      cursor,
      onEvents: (events) => this.#receive(events),
      onState: (state) => this.#setState(state),
    });
  }

  /** Follow the log anew from its last line. */
  resume() {
    this.follow(this.#cursor);
  }

  /** Follow the log from its present end, unless it is followed. */
  async followFromEnd() {
    if (this.isOpen && !this.hasEnded) return;
    const before = this.#unsubscribe;
    const path = withQuery(this.#options.source.linesPath, { limit: 1 });
    const { after } = await getJson(path).catch(() => ({ after: "" }));
    if (!this.#isClosed && this.#unsubscribe === before) this.follow(after ?? "", 0);
  }

  /** End the subscription. */
  end() {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }

  /** End the subscription for good. */
  close() {
    this.#isClosed = true;
    this.end();
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #receive(events) {
    this.#cursor = events.findLast(({ event, id }) => event === "log" && id)?.id ?? this.#cursor;
    this.#options.onEvents(events);
  }

  /** @param {import("../wire/event_stream.js").StreamState} state */
  #setState(state) {
    this.hasEnded = state.phase === "ended" || state.phase === "failed";
    this.#options.onState(state);
  }
}
