/** The events of a job, the newest first, of one group, filtered by text. */

import { GROUPS, Timeline } from "../model/timeline.js";
import { arrange, h } from "./dom.js";

/** Groups that hold events of processes. */
const OF_THE_HOST = new Set(["processes", "all"]);

/** The list of events. */
export class TimelineView {
  #timeline = new Timeline();
  #rows = new Map();
  #list = h("ol.events", { role: "list", tabindex: 0, "aria-label": "Events, the newest first" });
  #note = h("p.faint", { hidden: true }, "Processes are the host's: they may be another job's.");
  #times;
  #group;
  #text;
  #scheduled = false;

  /**
   * @param {import("../model/times.js").Times} times
   * @param {() => void} onGroup is called when other events are wanted.
   */
  constructor(times, onGroup) {
    this.#times = times;
    const show = () => this.#show();
    this.#group = h(
      "select",
      { "aria-label": "Which events", onchange: () => this.#groupChanged(onGroup) },
      Object.entries(GROUPS).map(([value, { label }]) => h("option", { value }, label)),
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
      h("div.bar", {}, h("h2", { id: "timeline-heading" }, "Timeline"), this.#group, this.#text),
      this.#note,
      this.#list,
    );
    this.#show();
  }

  /** What the names of the events that are wanted begin with; none for all events. */
  get prefixes() {
    return GROUPS[this.#group.value].prefixes;
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

  /** All times are in another zone. */
  timesChanged() {
    this.#rows.clear();
    this.#show();
  }

  #groupChanged(onGroup) {
    this.#note.hidden = !OF_THE_HOST.has(this.#group.value);
    this.#timeline.clear();
    this.#show();
    onGroup();
  }

  #show() {
    const rows = this.#withDays(this.#timeline.list({ text: this.#text.value }));
    const none = h("li.faint", {}, "No such events since the server was started.");
    arrange(this.#list, rows.length ? rows : [none]);
    const keys = new Set(this.#timeline.entries.map(({ key }) => key));
    for (const key of this.#rows.keys()) {
      if (!keys.has(Math.abs(key))) this.#rows.delete(key);
    }
  }

  /** The rows of entries, and a rule wherever another day begins that is not today. */
  #withDays(entries) {
    const rows = [];
    let day = "";
    for (const entry of entries) {
      const own = this.#times.day(entry.at);
      const begins = own !== "" && own !== day && !(day === "" && this.#times.isToday(entry.at));
      if (begins) rows.push(this.#row(-entry.key, () => h("li.day", {}, h("span", {}, own))));
      day = own || day;
      rows.push(this.#row(entry.key, () => rowOf(entry, this.#times)));
    }
    return rows;
  }

  /** The element of a key: that of an entry, or less than 0 for the rule above it. */
  #row(key, make) {
    if (!this.#rows.has(key)) this.#rows.set(key, make());
    return this.#rows.get(key);
  }
}

function rowOf({ name, sheet, at, summary, data }, times) {
  const head = [
    h("time", { title: times.whole(at) || null }, times.clock(at)),
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
