/** The events of a job, the newest first, filtered by kind and text. */

import { clock, whole } from "../model/times.js";
import { Timeline } from "../model/timeline.js";
import { arrange, h } from "./dom.js";

/** The list of events. */
export class TimelineView {
  #timeline = new Timeline();
  #rows = new Map();
  #list = h("ol.events", { role: "list", tabindex: 0, "aria-label": "Events, the newest first" });
  #kind;
  #text;
  #scheduled = false;

  constructor() {
    const show = () => this.#show();
    this.#kind = h(
      "select",
      { "aria-label": "Kind of event", onchange: show },
      h("option", { value: "" }, "all events"),
    );
    this.#text = h("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter events",
      oninput: show,
    });
    this.element = h(
      "section.panel.timeline",
      { "aria-labelledby": "timeline-heading" },
      h("div.bar", {}, h("h2", { id: "timeline-heading" }, "Timeline"), this.#kind, this.#text),
      this.#list,
    );
    this.#show();
  }

  /** Takes events of the stream in. */
  take(events) {
    this.#timeline.take(events);
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#show();
    });
  }

  #show() {
    this.#showKinds();
    const entries = this.#timeline.list({ kind: this.#kind.value, text: this.#text.value });
    const rows = entries.map((entry) => this.#row(entry));
    arrange(this.#list, rows.length ? rows : [h("li.faint", {}, "Nothing has happened yet.")]);
    const keys = new Set(this.#timeline.entries.map(({ key }) => key));
    for (const key of this.#rows.keys()) if (!keys.has(key)) this.#rows.delete(key);
  }

  #showKinds() {
    const known = new Set([...this.#kind.options].map(({ value }) => value));
    for (const kind of this.#timeline.kinds) {
      if (!known.has(kind)) this.#kind.append(h("option", { value: kind }, kind));
    }
  }

  #row(entry) {
    if (!this.#rows.has(entry.key)) this.#rows.set(entry.key, rowOf(entry));
    return this.#rows.get(entry.key);
  }
}

function rowOf({ name, sheet, at, summary, data }) {
  const head = [
    h("time", { title: at ? whole(at) : null }, at ? clock(at) : ""),
    h("span.event-name", {}, name),
    sheet ? h("span.sheet-number", {}, `sheet ${sheet}`) : null,
    h("span.summary", {}, summary),
  ];
  if (data === null || typeof data !== "object" || !Object.keys(data).length) {
    return h("li.event", { "data-event": name }, h("div.head", {}, head));
  }
  const details = h("details", {}, h("summary.head", {}, head));
  // Most are never opened.
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(h("pre", {}, JSON.stringify(data, null, 2)));
  });
  return h("li.event", { "data-event": name }, details);
}
