/** Timeline of a job: the events of one group, newest first, filtered by text. */

import { EVENT_GROUPS, MAX_ENTRIES, Timeline } from "../model/timeline.js";
import { ApiError, getJson, jobPath, withQuery } from "../wire/api.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { RovingFocus } from "./roving_focus.js";

/** @typedef {import("../model/timeline.js").TimelineEntry} TimelineEntry */

/** Groups with events of the host's processes. */
const HOST_GROUPS = new Set(["processes", "all"]);

/** Pages of recorded events are read until this many events of the group are found. */
const MIN_FOUND = 20;
const PAGE_EVENTS = 500;
const MAX_PAGES = 5;

export class TimelineView {
  #timeline = new Timeline();
  /** @type {Map<number, HTMLElement>} by the key of an entry; negative for the day above it. */
  #rows = new Map();
  /** @type {WeakMap<TimelineEntry, string>} */
  #days = new WeakMap();
  #list = h("ol.events", { role: "list", "aria-label": "Events, newest first" });
  #focus = new RovingFocus(this.#list, ".head", { previous: "ArrowUp", next: "ArrowDown" });
  #note = h(
    "p.muted",
    { hidden: true },
    "Processes of the whole host, including those of other jobs.",
  );
  #none = h("li.muted");
  #olderButton = h(
    "button.quiet",
    { type: "button", onclick: () => this.#loadOlder() },
    "Older events",
  );
  #older = h("li.older", {}, this.#olderButton);
  #limit = h("li.muted", {}, `Only the newest ${MAX_ENTRIES} events are shown.`);
  #jobId;
  #times;
  #groupSelect;
  #filter;
  #isUpdatePending = false;
  /** True once the stream has sent what it has of the group. */
  #isOpen = false;
  /** @type {number | null} parameter `before` of the next page of recorded events; null if there is none. */
  #before = 0;
  /** @type {AbortController | null} request of recorded events. */
  #request = null;

  /**
   * @param {string} jobId
   * @param {import("../model/time_format.js").TimeFormat} times
   * @param {() => void} onGroupChange is called when events of another group are needed.
   */
  constructor(jobId, times, onGroupChange) {
    this.#jobId = jobId;
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

  /** End all requests. */
  close() {
    this.#request?.abort();
  }

  /** @param {import("../wire/event_stream.js").StreamState} state of the stream. */
  onStreamState({ phase }) {
    if (phase !== "live" || this.#isOpen) return;
    this.#isOpen = true;
    this.#loadOlder();
  }

  /**
   * Apply events of the stream, and show them in the next frame.
   *
   * @param {import("../wire/event_parser.js").ServerSentEvent[]} events
   */
  applyEvents(events) {
    // Recorded events that were shown are loaded again.
    if (this.#timeline.applyEvents(events)) {
      this.#request?.abort();
      this.#request = null;
      this.#before = 0;
    }
    if (this.#isUpdatePending) return;
    this.#isUpdatePending = true;
    requestAnimationFrame(() => {
      this.#isUpdatePending = false;
      this.#update();
    });
  }

  onTimeZoneChange() {
    this.#rows.clear();
    this.#days = new WeakMap();
    this.#update();
  }

  /** @param {() => void} onGroupChange */
  #changeGroup(onGroupChange) {
    this.#note.hidden = !HOST_GROUPS.has(this.#groupSelect.value);
    this.#timeline.clear();
    this.#request?.abort();
    this.#request = null;
    this.#before = 0;
    this.#isOpen = false;
    this.#update();
    onGroupChange();
  }

  /** Add recorded events: page by page, until some are of the group. */
  async #loadOlder() {
    if (this.#request) return;
    const request = (this.#request = new AbortController());
    this.#update();
    try {
      let added = 0;
      for (
        let page = 0;
        page < MAX_PAGES && added < MIN_FOUND && this.#before !== null;
        page += 1
      ) {
        added += await this.#loadPage(this.#before, request.signal);
      }
    } catch (error) {
      if (request.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      // A server without history has none; another error may pass.
      if (error.status === 404 || error.status === 501) this.#before = null;
    }
    this.#request = null;
    this.#update();
  }

  /**
   * @param {number} before
   * @param {AbortSignal} signal
   * @returns {Promise<number>} how many events were added.
   */
  async #loadPage(before, signal) {
    const path = jobPath(this.#jobId, "events", "list");
    const query = { limit: PAGE_EVENTS, before: before || null };
    const { events, next } = await getJson(withQuery(path, query), { signal });
    this.#before = next;
    return this.#timeline.addOlder(events, this.prefixes);
  }

  #update() {
    const text = this.#filter.value;
    const { entries } = this.#timeline;
    const rows = this.#makeRows(this.#timeline.list({ text }));
    setText(this.#none, this.#noneText());
    const hasOlder = this.#isOpen && this.#before !== null && entries.length < MAX_ENTRIES;
    setText(this.#olderButton, this.#request ? "Loading …" : "Older events");
    setAttribute(this.#olderButton, "aria-disabled", this.#request ? "true" : null);
    const isLoadingAll = this.#request && !entries.length;
    setChildren(this.#list, [
      ...(rows.length ? rows : [this.#none]),
      ...(entries.length >= MAX_ENTRIES ? [this.#limit] : []),
      ...(hasOlder && !isLoadingAll ? [this.#older] : []),
    ]);
    this.#focus.update();
    const keys = new Set(entries.map(({ key }) => key));
    for (const key of this.#rows.keys()) {
      if (!keys.has(Math.abs(key))) this.#rows.delete(key);
    }
  }

  /** Return what is shown without a row. */
  #noneText() {
    if (this.#timeline.entries.length) return "No event matches the filter.";
    if (!this.#isOpen || this.#request) return "Loading …";
    return this.#before === null ? "No events of this kind." : "No recent events of this kind.";
  }

  /**
   * Return the rows of entries, with a heading where another day begins, except for today.
   *
   * @param {TimelineEntry[]} entries
   */
  #makeRows(entries) {
    const rows = [];
    const { today } = this.#times;
    let day = "";
    for (const entry of entries) {
      const own = this.#getDay(entry);
      const isNewDay = own !== "" && own !== day && !(day === "" && own === today);
      if (isNewDay) {
        rows.push(this.#getRow(-entry.key, () => h("li.day", {}, h("span", {}, own))));
      }
      day = own || day;
      const row = this.#getRow(entry.key, () => makeEntryRow(entry, this.#times));
      if (entry.name === "gap") this.#showGap(row, entry);
      rows.push(row);
    }
    return rows;
  }

  /**
   * Show between which events some are missing; others around them may have come since.
   *
   * @param {HTMLElement} row
   * @param {TimelineEntry} entry
   */
  #showGap(row, entry) {
    const { from, to } = this.#timeline.gapSpan(entry);
    const span = [
      from !== null && `after ${this.#times.dateTime(from)}`,
      to !== null && `before ${this.#times.dateTime(to)}`,
    ];
    const text = [entry.summary, ...span].filter(Boolean).join(", ");
    setText(/** @type {Element} */ (row.querySelector(".summary")), text);
  }

  /**
   * Return the day of an entry: formatted once, since each takes microseconds.
   *
   * @param {TimelineEntry} entry
   */
  #getDay(entry) {
    const day = this.#days.get(entry) ?? this.#times.day(entry.at);
    this.#days.set(entry, day);
    return day;
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
function makeEntryRow({ name, words, sheet, at, summary, data }, times) {
  const head = [
    h("time", { title: times.fullDateTime(at) || null }, times.timeOfDay(at)),
    h("span.event-name", { title: name, "data-raw": words === name }, words),
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
