/** Newest events of a job: from its event stream, and recorded ones before them. */

import { plainText } from "./ansi.js";
import { eventWords, fieldWords } from "./event_words.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} TimelineEntry
 * @property {number} key rises from entry to entry.
 * @property {string} name
 * @property {string} words the name in words.
 * @property {string} summary the scalar fields of the data.
 * @property {unknown} data
 * @property {number | null} at epoch milliseconds.
 * @property {number | null} [sheet] number of the sheet.
 */

/** @typedef {{event?: string, sheet_num?: number, data?: unknown, timestamp?: number}} ConductorEvent */

export const MAX_ENTRIES = 500;

/** Events of the stream itself. */
const STREAM_EVENTS = new Set(["source", "heartbeat"]);

/**
 * Groups of events that the timeline can show. `prefixes` of the event names; empty for all events.
 * Only one group is requested at a time, since nearly all events are about processes.
 *
 * @type {Record<string, {label: string, prefixes: string[]}>}
 */
export const EVENT_GROUPS = {
  job: { label: "Job and sheets", prefixes: ["job.", "sheet.", "baton."] },
  files: { label: "Files", prefixes: ["observer.file_"] },
  processes: { label: "Host processes", prefixes: ["observer.process_"] },
  all: { label: "All events", prefixes: [] },
};

export class Timeline {
  #nextKey = 1;
  /** @type {TimelineEntry[]} oldest first. */
  entries = [];
  /** Identities of the entries: an event may be both recorded and in the stream. */
  #known = new Set();

  /**
   * Apply events of the stream.
   *
   * @param {ServerSentEvent[]} events
   * @returns {boolean} true if all entries before them were removed.
   */
  applyEvents(events) {
    let isCleared = false;
    for (const { event, data } of events) {
      if (STREAM_EVENTS.has(event)) continue;
      const value = data ? JSON.parse(data) : {};
      if (event === "gap") {
        isCleared ||= value.reason === "cursor_expired";
        this.#addGap(value);
      } else if (this.#isNew({ event, ...value })) {
        this.entries.push(this.#makeEntry({ event, ...value }));
      }
    }
    if (this.entries.length > 2 * MAX_ENTRIES) {
      this.entries = this.entries.slice(-MAX_ENTRIES);
      // Recorded events are no longer added to as many.
      this.#known.clear();
    }
    return isCleared;
  }

  /**
   * Add recorded events before the others.
   *
   * @param {ConductorEvent[]} events newest first.
   * @param {string[]} prefixes of the names of the events to add; empty for all.
   * @returns {number} how many were added.
   */
  addOlder(events, prefixes) {
    const oldest = this.entries.find(({ at }) => at !== null)?.at ?? Infinity;
    const added = events.filter(
      (event) =>
        (!prefixes.length || prefixes.some((prefix) => event.event?.startsWith(prefix))) &&
        (event.timestamp ?? 0) * 1000 <= oldest &&
        this.#isNew(event),
    );
    this.entries.unshift(...added.reverse().map((event) => this.#makeEntry(event)));
    return added.length;
  }

  clear() {
    this.entries = [];
    this.#known.clear();
  }

  /**
   * Return the newest entries whose name or summary contains a text, newest first.
   *
   * @param {{text?: string}} [filter]
   */
  list({ text = "" } = {}) {
    const wanted = text.toLowerCase();
    return this.entries
      .filter(({ name, words, summary }) =>
        `${name} ${words} ${summary}`.toLowerCase().includes(wanted),
      )
      .slice(-MAX_ENTRIES)
      .reverse();
  }

  /**
   * Return the times of the events around missing ones; null if there is none.
   *
   * @param {TimelineEntry} gap
   * @returns {{from: number | null, to: number | null}}
   */
  gapSpan(gap) {
    const index = this.entries.indexOf(gap);
    const hasTime = (/** @type {TimelineEntry} */ { at }) => at !== null;
    return {
      from: this.entries.slice(0, index).findLast(hasTime)?.at ?? null,
      to: this.entries.slice(index).find(hasTime)?.at ?? null,
    };
  }

  /** @param {{missed: number | null, reason: string}} gap */
  #addGap({ missed, reason }) {
    if (reason === "cursor_expired") this.clear();
    const summary = missed === null ? "" : missed === 1 ? "1 event" : `${missed} events`;
    const key = this.#nextKey++;
    const words = eventWords("gap");
    this.entries.push({ key, name: "gap", words, summary, data: null, at: null });
  }

  /**
   * Return true for an event that is not known yet, and note it.
   *
   * @param {ConductorEvent} event
   */
  #isNew({ event, sheet_num: sheet, data, timestamp }) {
    const identity = JSON.stringify([timestamp, event, sheet, data]);
    const isNew = timestamp === undefined || !this.#known.has(identity);
    this.#known.add(identity);
    return isNew;
  }

  /**
   * @param {ConductorEvent} event
   * @returns {TimelineEntry}
   */
  #makeEntry({ event = "", sheet_num: sheet, data, timestamp }) {
    const name = plainText(event);
    return {
      key: this.#nextKey++,
      name,
      words: eventWords(name),
      sheet: sheet || null,
      data: data ?? null,
      at: timestamp ? timestamp * 1000 : null,
      summary: summarize(data),
    };
  }
}

/**
 * Return the scalar fields of an event's data as one line of text.
 *
 * @param {unknown} data
 */
export function summarize(data) {
  if (data === null || data === undefined) return "";
  if (typeof data !== "object") return plainText(String(data));
  const fields = Object.entries(data).map(([name, value]) => fieldWords(name, value));
  return plainText(fields.filter(Boolean).join(" · "));
}
