/** The newest events of a job, from its event stream. It must not know how they are shown. */

import { plain } from "./ansi.js";

const KEPT = 500;

const OWN = new Set(["source", "heartbeat", "stream_error"]);

/** The events, the newest last. */
export class Timeline {
  #next = 1;
  entries = [];
  /** Whether the conductor's events come in. */
  live = false;

  take(events) {
    for (const { event, data } of events) {
      const value = data ? JSON.parse(data) : {};
      if (event === "source") this.live = value.live;
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

  /** The kinds that there are: what stands before the first dot of a name. */
  get kinds() {
    return [...new Set(this.entries.map(({ name }) => kindOf(name)))].sort();
  }

  /** The newest entries of a kind whose names or data hold a text, the newest first. */
  list({ kind = "", text = "" } = {}) {
    const wanted = text.toLowerCase();
    return this.entries
      .filter((entry) => !kind || kindOf(entry.name) === kind)
      .filter(({ name, summary }) => `${name} ${summary}`.toLowerCase().includes(wanted))
      .slice(-KEPT)
      .reverse();
  }

  #add(entry) {
    this.entries.push({ key: this.#next++, ...entry });
  }

  #gap({ missed, reason }) {
    if (reason === "cursor_unknown") this.entries = [];
    const count = missed === null ? "Events" : `${missed} events`;
    this.#add({ name: "gap", summary: `${count} are missing here`, data: null, at: null });
  }
}

function kindOf(name) {
  return name.split(".")[0];
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
