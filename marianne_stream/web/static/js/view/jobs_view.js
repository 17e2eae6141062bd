/** Job list: `/`. */

import { groupJobs, keepOrder, SECTION_KEYS, SECTION_LABELS } from "../model/job_sections.js";
import { ALL_JOBS } from "../model/notify_rules.js";
import { jobUrl, NO_JOB_URL } from "../model/page_urls.js";
import { h, setText } from "./dom.js";
import { JobFilters } from "./job_filters.js";
import { JobRowLayout } from "./job_row_layout.js";
import { JobSection } from "./job_section.js";
import { ListNotices } from "./list_notices.js";
import { NotifyButton } from "./notify_button.js";
import { VisitSummary } from "./visit_summary.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */
/** @typedef {import("../model/job_sections.js").SectionKey} SectionKey */
/** @typedef {import("../model/job_sections.js").Sections} Sections */

/** Shortest time between two changes of the order. */
const REORDER_MS = 2_000;
const TICK_MS = 1_000;
/** Delay after which changes of the roster are shown together. */
const UPDATE_DELAY_MS = 100;

const CONTINUES = "This page updates as soon as the conductor responds.";

export class JobsView {
  #page;
  #filters;
  #notify;
  #summary;
  #notices;
  #layout;
  #sections;
  #list;
  #seenAll;
  #empty = h("div.empty", { hidden: true });
  /** @type {Sections} what is shown, in order. */
  #shown = { attention: [], running: [], queued: [], done: [] };
  #orderedAt = 0;
  #selectedJob = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #pendingUpdate = null;
  #isDrawPending = false;
  #closing = new AbortController();

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
    const reorder = () => this.#update({ reorder: true });
    this.#filters = new JobFilters(reorder, () => this.#openFirst());
    this.#notify = new NotifyButton(page.notifier, ALL_JOBS);
    this.#summary = new VisitSummary(page);
    this.#notices = new ListNotices(page);
    this.#layout = new JobRowLayout(reorder);
    const onSeen = (/** @type {RosterEntry} */ job) => this.#toggleSeen(job);
    this.#sections = SECTION_KEYS.map((key) => ({
      key,
      section: new JobSection({ key, label: SECTION_LABELS[key] }, page, onSeen),
    }));
    this.#seenAll = h(
      "button.quiet",
      { type: "button", onclick: () => this.#markAllSeen() },
      "Mark all failures as seen",
    );
    this.#section("attention").detail.append(this.#seenAll);
    const elements = this.#sections.map(({ section }) => section.element);
    this.#list = h("div.job-sections", {}, elements);
    this.element = this.#makeElement();
    this.shortcuts = [
      { key: "j", label: "Next job", run: () => this.#step(1) },
      { key: "k", label: "Previous job", run: () => this.#step(-1) },
      { key: "Enter", label: "Open the job", run: () => this.#openSelected() },
      { key: "/", label: "Filter by name", run: () => this.#filters.focusName() },
      { key: "g", label: "First job", run: () => this.#select(0) },
      { key: "G", label: "Last job", run: () => this.#select(Infinity) },
      { key: "Escape", label: "Clear the filters", run: () => this.#filters.clear() },
    ];
  }

  /** Start updating; the element is in the page. */
  open() {
    this.#page.tab.setTitle("Jobs");
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    const { signal } = this.#closing;
    addEventListener("scroll", () => this.#drawSoon(), { signal, passive: true });
    addEventListener("resize", () => this.#drawSoon(), { signal });
    this.#update({ reorder: true });
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
    clearTimeout(this.#pendingUpdate ?? undefined);
    this.#closing.abort();
    this.#layout.close();
    this.#notify.close();
    this.#summary.close();
  }

  /** Show the changed roster, soon: many changes at once are shown together. */
  onRosterChange() {
    this.#pendingUpdate ??= setTimeout(() => {
      this.#pendingUpdate = null;
      this.#update();
      this.#summary.tick();
    }, UPDATE_DELAY_MS);
  }

  onTimeZoneChange() {
    for (const row of this.#rows()) row.updateTimes();
    this.#summary.onTimeZoneChange();
    this.#tick();
  }

  /** Fragments of the address mean nothing to this view. */
  onFragmentChange() {}

  #makeElement() {
    return h(
      "section.jobs-view",
      { "aria-labelledby": "jobs-heading" },
      h(
        "div.bar",
        {},
        h("h1", { id: "jobs-heading" }, "Jobs"),
        this.#filters.chips,
        this.#filters.field,
        this.#filters.select,
        this.#notify.element,
      ),
      this.#summary.element,
      this.#notices.element,
      this.#filters.columns,
      this.#list,
      this.#empty,
    );
  }

  /** @param {SectionKey} key */
  #section(key) {
    return this.#sections[SECTION_KEYS.indexOf(key)].section;
  }

  *#rows() {
    for (const { section } of this.#sections) yield* section.rows;
  }

  /** Return the jobs that are shown, in order. */
  #jobs() {
    return SECTION_KEYS.flatMap((key) => this.#shown[key]);
  }

  /** @param {{reorder?: boolean}} [options] */
  #update({ reorder = false } = {}) {
    const { roster } = this.#page;
    if (roster.isLoaded) {
      this.#filters.showCounts(roster.countByTone(), roster.size);
      this.#updateSections(reorder);
    }
    const count = this.#jobs().length;
    this.#filters.columns.hidden = count === 0;
    this.#empty.hidden = count > 0;
    if (!count) this.#showEmptyText();
    this.#notices.update();
  }

  /**
   * Update the rows at once, and their order only if nobody is about to click on a row.
   *
   * @param {boolean} reorder
   */
  #updateSections(reorder) {
    const { roster, clock, seenFailures } = this.#page;
    const { tone, name, sort } = this.#filters.query;
    const isSeen = (/** @type {RosterEntry} */ job) => seenFailures.has(job);
    const wanted = groupJobs(roster.list({ tone, name }), {
      isSeen,
      sort,
      until: clock.knownUntil(),
    });
    const isInUse = this.#list.matches(":hover") || this.#list.contains(document.activeElement);
    const mayReorder = reorder || (this.#isOrderOld() && !isInUse);
    this.#shown = mayReorder ? wanted : keepOrder(this.#shown, wanted);
    if (mayReorder) this.#orderedAt = Date.now();
    const failed = wanted.attention.filter(({ status }) => status === "failed");
    this.#seenAll.hidden = failed.length < 2;
    this.#layout.measure();
    for (const { key, section } of this.#sections) {
      section.setJobs(this.#shown[key], (job) => this.#layout.heightOf(job));
    }
    this.#draw();
  }

  #isOrderOld() {
    return Date.now() - this.#orderedAt > REORDER_MS;
  }

  #drawSoon() {
    if (this.#isDrawPending) return;
    this.#isDrawPending = true;
    requestAnimationFrame(() => {
      this.#isDrawPending = false;
      this.#draw();
    });
  }

  /** Draw the rows in and near the window. */
  #draw() {
    const tops = this.#sections.map(({ section }) => section.measure());
    this.#sections.forEach(({ section }, index) => {
      section.draw(tops[index], innerHeight, this.#selectedJob);
    });
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
    if (this.#empty.textContent === title + sentences.join("")) return;
    const texts = sentences.map((text) => h("p", {}, text));
    this.#empty.replaceChildren(h("p.title", {}, title), ...texts);
  }

  #tick() {
    const { clock, roster } = this.#page;
    for (const row of this.#rows()) row.tick();
    const { running = 0 } = roster.countByTone();
    const load = clock.isLive ? roster.conductors.loadText(running) : "";
    setText(this.#section("running").detail, load);
    this.#notices.update();
    this.#summary.tick();
    if (this.#isOrderOld()) this.#update();
  }

  /** @param {RosterEntry} job */
  #toggleSeen(job) {
    const { seenFailures, announcer } = this.#page;
    const isSeen = !seenFailures.has(job);
    const jobs = this.#jobs();
    const next = jobs[jobs.findIndex(({ job_id: id }) => id === job.job_id) + 1];
    this.#page.markSeen([job], isSeen);
    announcer.announce(isSeen ? "Marked as seen: it is under Done." : "Not marked any more.");
    this.#update({ reorder: true });
    if (next) this.#focusJob(next.job_id);
  }

  #markAllSeen() {
    const failed = this.#shown.attention.filter(({ status }) => status === "failed");
    this.#page.markSeen(failed, true);
    this.#page.announcer.announce(`${failed.length} failures marked as seen: they are under Done.`);
    this.#update({ reorder: true });
    this.#page.main.focus({ preventScroll: true });
  }

  /** @param {number} by */
  #step(by) {
    const at = this.#jobs().findIndex(({ job_id: id }) => id === this.#selectedJob);
    if (at >= 0) this.#select(at + by);
    else this.#select(by > 0 ? 0 : Infinity);
  }

  /** @param {number} index is clamped to the list. */
  #select(index) {
    const jobs = this.#jobs();
    const last = jobs.length - 1;
    if (last >= 0) this.#focusJob(jobs[Math.max(0, Math.min(last, index))].job_id);
  }

  /** @param {string} jobId */
  #focusJob(jobId) {
    this.#selectedJob = jobId;
    this.#draw();
    const rows = this.#sections.map(({ section }) => section.getRow(jobId));
    const row = rows.find((one) => one !== undefined);
    row?.link.focus({ preventScroll: true });
    row?.element.scrollIntoView({ block: "nearest" });
  }

  #openSelected() {
    if (this.#jobs().some(({ job_id: id }) => id === this.#selectedJob)) {
      this.#openJob(this.#selectedJob);
    }
  }

  #openFirst() {
    const [first] = this.#jobs();
    if (first) this.#openJob(first.job_id);
  }

  /** @param {string} jobId */
  #openJob(jobId) {
    const url = jobUrl(jobId);
    if (url) this.#page.go(url);
    else this.#page.announcer.announce(NO_JOB_URL);
  }
}
