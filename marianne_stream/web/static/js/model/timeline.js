/** Newest events of a job, from its event stream. */

import { plainText } from "./ansi.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} TimelineEntry
 * @property {number} key rises from entry to entry.
 * @property {string} name
 * @property {string} summary the scalar fields of the data.
 * @property {unknown} data
 * @property {number | null} at epoch milliseconds.
 * @property {number | null} [sheet] number of the sheet.
 */

const MAX_ENTRIES = 500;

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

  /**
   * Apply events of the stream.
   *
   * @param {ServerSentEvent[]} events
   */
  applyEvents(events) {
    for (const { event, data } of events) {
      const value = data ? JSON.parse(data) : {};
      if (STREAM_EVENTS.has(event)) continue;
      if (event === "gap") this.#addGap(value);
      else this.#add(makeEntry(event, value));
    }
    if (this.entries.length > 2 * MAX_ENTRIES) this.entries = this.entries.slice(-MAX_ENTRIES);
  }

  clear() {
    this.entries = [];
  }

  /**
   * Return the newest entries whose name or summary contains a text, newest first.
   *
   * @param {{text?: string}} [filter]
   */
  list({ text = "" } = {}) {
    const wanted = text.toLowerCase();
    return this.entries
      .filter(({ name, summary }) => `${name} ${summary}`.toLowerCase().includes(wanted))
      .slice(-MAX_ENTRIES)
      .reverse();
  }

  /** @param {Omit<TimelineEntry, "key">} entry */
  #add(entry) {
    this.entries.push({ key: this.#nextKey++, ...entry });
  }

  /** @param {{missed: number | null, reason: string}} gap */
  #addGap({ missed, reason }) {
    if (reason === "cursor_expired") this.clear();
    const count = missed === null ? "Events" : `${missed} events`;
    this.#add({ name: "gap", summary: `${count} are missing here`, data: null, at: null });
  }
}

/**
 * @param {string} name
 * @param {{event?: string, sheet_num?: number, data?: unknown, timestamp?: number}} value
 * @returns {Omit<TimelineEntry, "key">}
 */
function makeEntry(name, { event, sheet_num: sheet, data, timestamp }) {
  return {
    name: plainText(event ?? name),
    sheet: sheet || null,
    data: data ?? null,
    at: timestamp ? timestamp * 1000 : null,
    summary: summarize(data),
  };
}

/**
 * Return the scalar fields of an event's data as one line of text.
 *
 * @param {unknown} data
 */
export function summarize(data) {
  if (data === null || data === undefined) return "";
  if (typeof data !== "object") return plainText(String(data));
  const fields = Object.entries(data)
    .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
    .map(([name, value]) => `${name} ${value}`);
  return plainText(fields.join(" · "));
}
