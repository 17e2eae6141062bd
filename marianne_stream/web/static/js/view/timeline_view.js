/** Timeline of a job: the events of one group, newest first, filtered by text. */

import { EVENT_GROUPS, Timeline } from "../model/timeline.js";
import { h, setChildren } from "./dom.js";

/** @typedef {import("../model/timeline.js").TimelineEntry} TimelineEntry */

/** Groups with events of the host's processes. */
const HOST_GROUPS = new Set(["processes", "all"]);

export class TimelineView {
  #timeline = new Timeline();
  /** @type {Map<number, HTMLElement>} by the key of an entry; negative for the day above it. */
  #rows = new Map();
  #list = h("ol.events", { role: "list", tabindex: 0, "aria-label": "Events, newest first" });
  #note = h(
    "p.muted",
    { hidden: true },
    "Processes of the whole host, including those of other jobs.",
  );
  #times;
  #groupSelect;
  #filter;
  #isUpdatePending = false;

  /**
   * @param {import("../model/time_format.js").TimeFormat} times
   * @param {() => void} onGroupChange is called when events of another group are needed.
   */
  constructor(times, onGroupChange) {
    this.#times = times;
    this.#groupSelect = h(
      "select",
      { "aria-label": "Event group", onchange: () => this.#changeGroup(onGroupChange) },
      Object.entries(EVENT_GROUPS).map(([value, { label }]) => h("option", { value }, label)),
    );
    this.#filter = h("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter events",
      oninput: () => this.#update(),
    });
    this.element = h(
      "section.panel.timeline",
      { "aria-labelledby": "timeline-heading" },
      h(
        "div.bar",
        {},
        h("h2", { id: "timeline-heading" }, "Timeline"),
        this.#groupSelect,
        this.#filter,
      ),
      this.#note,
      this.#list,
    );
    this.#update();
  }

  /** Prefixes of the names of the events to request; empty for all events. */
  get prefixes() {
    return EVENT_GROUPS[this.#groupSelect.value].prefixes;
  }

  /**
   * Apply events of the stream, and show them in the next frame.
   *
   * @param {import("../wire/event_parser.js").ServerSentEvent[]} events
   */
  applyEvents(events) {
    this.#timeline.applyEvents(events);
    if (this.#isUpdatePending) return;
    this.#isUpdatePending = true;
    requestAnimationFrame(() => {
      this.#isUpdatePending = false;
      this.#update();
    });
  }

  onTimeZoneChange() {
    this.#rows.clear();
    this.#update();
  }

  /** @param {() => void} onGroupChange */
  #changeGroup(onGroupChange) {
    this.#note.hidden = !HOST_GROUPS.has(this.#groupSelect.value);
    this.#timeline.clear();
    this.#update();
    onGroupChange();
  }

  #update() {
    const rows = this.#makeRows(this.#timeline.list({ text: this.#filter.value }));
    const none = h("li.muted", {}, "No such events since the server started.");
    setChildren(this.#list, rows.length ? rows : [none]);
    const keys = new Set(this.#timeline.entries.map(({ key }) => key));
    for (const key of this.#rows.keys()) {
      if (!keys.has(Math.abs(key))) this.#rows.delete(key);
    }
  }

  /**
   * Return the rows of entries, with a heading where another day begins, except for today.
   *
   * @param {TimelineEntry[]} entries
   */
  #makeRows(entries) {
    const rows = [];
    let day = "";
    for (const entry of entries) {
      const own = this.#times.day(entry.at);
      const isNewDay = own !== "" && own !== day && !(day === "" && this.#times.isToday(entry.at));
      if (isNewDay) {
        rows.push(this.#getRow(-entry.key, () => h("li.day", {}, h("span", {}, own))));
      }
      day = own || day;
      rows.push(this.#getRow(entry.key, () => makeEntryRow(entry, this.#times)));
    }
    return rows;
  }

  /**
   * @param {number} key
   * @param {() => HTMLElement} make
   */
  #getRow(key, make) {
    const row = this.#rows.get(key) ?? make();
    this.#rows.set(key, row);
    return row;
  }
}

/**
 * @param {TimelineEntry} entry
 * @param {import("../model/time_format.js").TimeFormat} times
 */
function makeEntryRow({ name, sheet, at, summary, data }, times) {
  const head = [
    h("time", { title: times.fullDateTime(at) || null }, times.timeOfDay(at)),
    h("span.event-name", {}, name),
    sheet ? h("span.sheet-number", {}, `sheet ${sheet}`) : null,
    h("span.summary", {}, summary),
  ];
  if (data === null || typeof data !== "object" || !Object.keys(data).length) {
    return h("li.event", { "data-event": name }, h("div.head", {}, head));
  }
  const details = h("details", {}, h("summary.head", {}, head));
  // Made when opened: most never are.
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(h("pre", {}, JSON.stringify(data, null, 2)));
  });
  return h("li.event", { "data-event": name }, details);
}
