/** The newest events of a job, from its event stream. It must not know how they are shown. */

import { plain } from "./ansi.js";

const KEPT = 500;

const OWN = new Set(["source", "heartbeat", "stream_error"]);

/**
 * What can be shown of a timeline: `prefixes` are those of the events' names, none for all of them. They
 * are asked for one at a time, since nearly all events are of processes.
 */
export const GROUPS = {
  job: { label: "Job and sheets", prefixes: ["job.", "sheet.", "baton."] },
  files: { label: "Files", prefixes: ["observer.file_"] },
  processes: { label: "Host processes", prefixes: ["observer.process_"] },
  all: { label: "All events", prefixes: [] },
};

/** The events, the newest last. */
export class Timeline {
  #next = 1;
  entries = [];

  take(events) {
    for (const { event, data } of events) {
      const value = data ? JSON.parse(data) : {};
      if (OWN.has(event)) continue;
      if (event === "gap") this.#gap(value);
      else
        this.#add({
          name: plain(value.event ?? event),
          sheet: value.sheet_num || null,
          ...said(value),
        });
    }
    if (this.entries.length > 2 * KEPT) this.entries = this.entries.slice(-KEPT);
  }

  /** Begins anew, with other events. */
  clear() {
    this.entries = [];
  }

  /** The newest entries whose names or data hold a text, the newest first. */
  list({ text = "" } = {}) {
    const wanted = text.toLowerCase();
    return this.entries
      .filter(({ name, summary }) => `${name} ${summary}`.toLowerCase().includes(wanted))
      .slice(-KEPT)
      .reverse();
  }

  #add(entry) {
    this.entries.push({ key: this.#next++, ...entry });
  }

  #gap({ missed, reason }) {
    if (reason === "cursor_expired") this.clear();
    const count = missed === null ? "Events" : `${missed} events`;
    this.#add({ name: "gap", summary: `${count} are missing here`, data: null, at: null });
  }
}

function said({ data, timestamp }) {
  return { data: data ?? null, at: timestamp ? timestamp * 1000 : null, summary: summaryOf(data) };
}

/** What an event's data says, in a few words. */
export function summaryOf(data) {
  if (data === null || data === undefined) return "";
  if (typeof data !== "object") return plain(String(data));
  const shown = Object.entries(data)
    .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
    .map(([name, value]) => `${name} ${value}`);
  return plain(shown.join(" · "));
}
