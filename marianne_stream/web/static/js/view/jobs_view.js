/** Job list: `/`. */

import { jobUrl, NO_JOB_URL } from "../model/page_urls.js";
import { statusLabel } from "../model/status.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { JobRow } from "./job_row.js";

/** @typedef {import("../model/status.js").Tone} Tone */
/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */

/** Shortest time between two changes of the order. */
const REORDER_MS = 2_000;
const TICK_MS = 1_000;
/** Delay after which changes of the roster are shown together. */
const UPDATE_DELAY_MS = 100;

/** @type {Tone[]} */
const TONES = ["failed", "paused", "running", "waiting", "completed", "cancelled", "unknown"];
/** @type {Partial<Record<Tone, string>>} */
const TONE_LABELS = { waiting: "queued", unknown: "other" };
/** @type {Record<import("../model/roster.js").RosterOrder, string>} */
const ORDERS = { attention: "Needs attention", newest: "Newest first", name: "Name" };
const COLUMNS = ["Status", "Job", "Sheets", "Current", "Started", "Duration", "Changed"];

const CONTINUES = "This page updates as soon as the conductor responds.";

export class JobsView {
  #page;
  /** @type {Map<string, JobRow>} */
  #rows = new Map();
  /** @type {Map<Tone | "", {chip: HTMLElement, count: HTMLElement}>} */
  #chips = new Map();
  #list = h("ul.jobs", { role: "list" });
  #empty = h("div.empty", { hidden: true });
  #filter;
  #orderSelect;
  /** @type {Tone | ""} */
  #tone = "";
  /** @type {string[]} ids of the listed jobs. */
  #order = [];
  #orderedAt = 0;
  #selectedJob = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #pendingUpdate = null;

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
    const query = new URLSearchParams(location.search);
    this.#tone = TONES.find((tone) => tone === query.get("status")) ?? "";
    this.#filter = this.#makeFilter(query.get("name") ?? "");
    this.#orderSelect = this.#makeOrderSelect(query.get("order") ?? "");
    this.element = this.#makeElement();
    this.shortcuts = [
      { key: "j", label: "Next job", run: () => this.#step(1) },
      { key: "k", label: "Previous job", run: () => this.#step(-1) },
      { key: "Enter", label: "Open the job", run: () => this.#openSelected() },
      { key: "/", label: "Filter by name", run: () => this.#filter.focus() },
      { key: "g", label: "First job", run: () => this.#select(0) },
      { key: "G", label: "Last job", run: () => this.#select(Infinity) },
      { key: "Escape", label: "Clear the filters", run: () => this.#clearFilters() },
    ];
  }

  /** Start updating; the element is in the page. */
  open() {
    this.#page.tab.setTitle("Jobs");
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#update({ reorder: true });
  }

  close() {
    clearInterval(this.#timer);
    clearTimeout(this.#pendingUpdate ?? undefined);
  }

  /** Show the changed roster, soon: many changes at once are shown together. */
  onRosterChange() {
    this.#pendingUpdate ??= setTimeout(() => {
      this.#pendingUpdate = null;
      this.#update();
    }, UPDATE_DELAY_MS);
  }

  onTimeZoneChange() {
    for (const row of this.#rows.values()) row.updateTimes();
    this.#tick();
  }

  /** Fragments of the address mean nothing to this view. */
  onFragmentChange() {}

  /** @param {string} value */
  #makeFilter(value) {
    return h("input", {
      type: "search",
      placeholder: "Filter by name",
      "aria-label": "Filter jobs by name",
      value,
      oninput: () => this.#onFilterChange(),
      onkeydown: (/** @type {KeyboardEvent} */ { key }) => {
        if (key === "Enter" && this.#order.length) this.#openJob(this.#order[0]);
      },
    });
  }

  /** @param {string} value */
  #makeOrderSelect(value) {
    const select = h(
      "select",
      { "aria-label": "Order", onchange: () => this.#onFilterChange() },
      Object.entries(ORDERS).map(([order, text]) => h("option", { value: order }, text)),
    );
    select.value = Object.hasOwn(ORDERS, value) ? value : "attention";
    return select;
  }

  #makeElement() {
    const chips = [this.#makeChip(""), ...TONES.map((tone) => this.#makeChip(tone))];
    return h(
      "section.jobs-view",
      { "aria-labelledby": "jobs-heading" },
      h(
        "div.bar",
        {},
        h("h1", { id: "jobs-heading" }, "Jobs"),
        h("div.chips", { role: "group", "aria-label": "Status" }, chips),
        h("label.search-field", {}, makeIcon("search"), this.#filter),
        this.#orderSelect,
      ),
      h(
        "div.columns",
        { "aria-hidden": "true" },
        COLUMNS.map((name) => h("span", {}, name)),
      ),
      this.#list,
      this.#empty,
    );
  }

  /** @param {Tone | ""} tone "" for all jobs. */
  #makeChip(tone) {
    const count = h("span.count");
    const chip = h(
      "button.chip",
      { type: "button", onclick: () => this.#toggleTone(tone), "data-tone": tone || null },
      tone ? makeIcon(tone) : null,
      tone ? (TONE_LABELS[tone] ?? statusLabel(tone)) : "all",
      count,
    );
    this.#chips.set(tone, { chip, count });
    return chip;
  }

  /** @param {Tone | ""} tone */
  #toggleTone(tone) {
    this.#tone = this.#tone === tone ? "" : tone;
    this.#onFilterChange();
  }

  #clearFilters() {
    this.#filter.value = "";
    this.#tone = "";
    this.#filter.blur();
    this.#onFilterChange();
  }

  #onFilterChange() {
    const query = new URLSearchParams();
    if (this.#tone) query.set("status", this.#tone);
    if (this.#filter.value) query.set("name", this.#filter.value);
    if (this.#orderSelect.value !== "attention") query.set("order", this.#orderSelect.value);
    const text = query.toString();
    history.replaceState(null, "", text ? `/?${text}` : "/");
    this.#update({ reorder: true });
  }

  /** @param {{reorder?: boolean}} [options] */
  #update({ reorder = false } = {}) {
    const { roster, clock } = this.#page;
    if (roster.isLoaded) {
      this.#updateChips();
      const order = /** @type {import("../model/roster.js").RosterOrder} */ (
        this.#orderSelect.value
      );
      const filter = { tone: this.#tone, name: this.#filter.value, order };
      const jobs = roster.list(filter, clock.now());
      this.#updateRows(jobs, reorder);
      this.#empty.hidden = jobs.length > 0;
    }
    if (!this.#order.length) this.#showEmptyText();
  }

  #showEmptyText() {
    const { roster, notReadyReasons: reasons } = this.#page;
    if (roster.isLoaded && roster.size) {
      this.#showEmpty("No matching jobs.", "Press Esc to clear the filters.");
    } else if (reasons.length) {
      const title = roster.isLoaded ? "No jobs yet." : "Jobs are not available yet.";
      this.#showEmpty(title, ...reasons, CONTINUES);
    } else if (roster.isLoaded) {
      const hint = "Submit a score to the conductor; its job appears here automatically.";
      this.#showEmpty("No jobs yet.", hint);
    } else {
      this.#showEmpty("Loading jobs …");
    }
  }

  /**
   * @param {string} title
   * @param {...string} sentences
   */
  #showEmpty(title, ...sentences) {
    this.#empty.hidden = false;
    if (this.#empty.textContent === title + sentences.join("")) return;
    const texts = sentences.map((text) => h("p", {}, text));
    this.#empty.replaceChildren(h("p.title", {}, title), ...texts);
  }

  #updateChips() {
    const { roster } = this.#page;
    const counts = roster.countByTone();
    for (const [tone, { chip, count }] of this.#chips) {
      const number = tone ? (counts[tone] ?? 0) : roster.size;
      chip.hidden = tone !== "" && number === 0 && this.#tone !== tone;
      setText(count, String(number));
      setAttribute(chip, "aria-pressed", String(this.#tone === tone));
    }
  }

  /**
   * Update the rows at once, and their order only if nobody is about to click on a row.
   *
   * @param {RosterEntry[]} jobs
   * @param {boolean} reorder
   */
  #updateRows(jobs, reorder) {
    const ids = jobs.map(({ job_id: jobId }) => jobId);
    for (const jobId of this.#rows.keys()) {
      if (!this.#page.roster.get(jobId)) this.#rows.delete(jobId);
    }
    for (const job of jobs) this.#getRow(job.job_id).show(job);
    const isInUse = this.#list.matches(":hover") || this.#list.contains(document.activeElement);
    const mayReorder = reorder || (this.#isOrderOld() && !isInUse);
    const known = new Set(this.#order);
    const isSameSet = known.size === ids.length && ids.every((jobId) => known.has(jobId));
    if (!mayReorder && isSameSet) return;
    this.#order = mayReorder ? ids : mergeOrder(this.#order, ids);
    this.#orderedAt = Date.now();
    setChildren(
      this.#list,
      this.#order.map((jobId) => this.#getRow(jobId).element),
    );
  }

  #isOrderOld() {
    return Date.now() - this.#orderedAt > REORDER_MS;
  }

  /** @param {string} jobId */
  #getRow(jobId) {
    const row = this.#rows.get(jobId) ?? new JobRow(jobId, this.#page);
    this.#rows.set(jobId, row);
    return row;
  }

  #tick() {
    for (const jobId of this.#order) this.#getRow(jobId).tick();
    if (this.#isOrderOld()) this.#update();
  }

  /** @param {number} by */
  #step(by) {
    const at = this.#order.indexOf(this.#selectedJob);
    if (at >= 0) this.#select(at + by);
    else this.#select(by > 0 ? 0 : Infinity);
  }

  /** @param {number} index is clamped to the list. */
  #select(index) {
    const last = this.#order.length - 1;
    if (last < 0) return;
    this.#selectedJob = this.#order[Math.max(0, Math.min(last, index))];
    const { link } = this.#getRow(this.#selectedJob);
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  }

  #openSelected() {
    if (this.#order.includes(this.#selectedJob)) this.#openJob(this.#selectedJob);
  }

  /** @param {string} jobId */
  #openJob(jobId) {
    const url = jobUrl(jobId);
    if (url) this.#page.go(url);
    else this.#page.announcer.announce(NO_JOB_URL);
  }
}

/**
 * Return an order without the jobs that have gone, and with new jobs in front.
 *
 * @param {string[]} before
 * @param {string[]} ids
 */
function mergeOrder(before, ids) {
  const [wanted, known] = [new Set(ids), new Set(before)];
  return [...ids.filter((id) => !known.has(id)), ...before.filter((id) => wanted.has(id))];
}
