/** Job list: `/`. */

import { formatJobListUrl } from "../model/job_list_query.js";
import { groupJobs, keepOrder, SECTION_KEYS, SECTION_LABELS } from "../model/job_sections.js";
import { ALL_JOBS } from "../model/notify_rules.js";
import { jobUrl, NO_JOB_URL } from "../model/page_urls.js";
import { isTerminal } from "../model/status.js";
import { h, setAttribute, setText } from "./dom.js";
import { JobFilters } from "./job_filters.js";
import { JobRowLayout } from "./job_row_layout.js";
import { JobSection } from "./job_section.js";
import { ListNotices } from "./list_notices.js";
import { NotifyButton } from "./notify_button.js";
import { VisitSummary } from "./visit_summary.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */
/** @typedef {import("../model/job_sections.js").SectionKey} SectionKey */
/** @typedef {import("../model/job_sections.js").Sections} Sections */

/** Shortest time between two changes of the order within the sections. */
const REORDER_MS = 2_000;
/** Time after a step by keyboard for which the order is kept. */
const STEP_REORDER_MS = 5_000;
const TICK_MS = 1_000;
/** Time after a move of the mouse in which a click may follow. */
const POINTING_MS = 3_000;
/** Delay after which changes of the roster are shown together. */
const UPDATE_DELAY_MS = 100;

const CONTINUES = "This page updates by itself.";

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
  #emptyText = h("div");
  #clear = h(
    "button.quiet",
    { type: "button", onclick: () => this.#onClear() },
    "Clear the filters",
  );
  #empty = h("div.empty", { hidden: true }, this.#emptyText, this.#clear);
  /** @type {Sections} what is shown, in order. */
  #shown = { attention: [], running: [], queued: [], done: [] };
  /** Time up to which the order within the sections is kept. */
  #keptUntil = 0;
  /** False for a tap, which sets `:hover` as well: it stays. */
  #isMouse = false;
  #mouseMovedAt = 0;
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
    this.#list.addEventListener("pointerover", ({ pointerType }) => {
      this.#isMouse = pointerType === "mouse";
    });
    for (const type of ["pointermove", "wheel"]) {
      this.#list.addEventListener(type, () => (this.#mouseMovedAt = Date.now()), { passive: true });
    }
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

  /** Address of the list with its filters. */
  get url() {
    return formatJobListUrl(this.#filters.query);
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
  }

  /** Show the changed roster, soon: many changes at once are shown together. */
  onRosterChange() {
    this.#pendingUpdate ??= setTimeout(() => {
      this.#pendingUpdate = null;
      this.#update();
    }, UPDATE_DELAY_MS);
  }

  onTimeZoneChange() {
    for (const row of this.#rows()) row.updateTimes();
    this.#summary.draw();
    this.#tick();
  }

  /** Fragments of the address mean nothing to this view. */
  onFragmentChange() {}

  #makeElement() {
    return h(
      "section.jobs-view",
      { "aria-labelledby": "jobs-heading", "data-without-cost": true, "data-without-ends": true },
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
   * Update the sections at once, and the order within them only if the reader does not point at a row.
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
    const pointedJob = this.#pointedJob();
    const pointed = pointedJob === undefined ? undefined : this.#getRow(pointedJob)?.element;
    const pointedTop = pointed?.getBoundingClientRect().top ?? 0;
    const mayReorder = reorder || (this.#isOrderOld() && !pointedJob);
    this.#shown = mayReorder ? wanted : keepOrder(this.#shown, wanted, pointedJob);
    if (mayReorder) this.#keptUntil = Date.now() + REORDER_MS;
    this.#seenAll.hidden = this.#failedJobs().length < 2;
    const isFiltered = tone !== "" || name !== "";
    setText(this.#seenAll, `Mark ${isFiltered ? "these" : "all"} failures as seen`);
    this.#showColumns(sort);
    this.#layout.measure();
    for (const { key, section } of this.#sections) {
      section.setJobs(this.#shown[key], (job) => this.#layout.heightOf(job));
    }
    this.#draw();
    if (reorder || !pointed?.isConnected || !this.#mayBeClicked()) return;
    // Rows that come above it do not move it, as far as the page can scroll.
    scrollBy({ top: pointed.getBoundingClientRect().top - pointedTop, behavior: "instant" });
  }

  /**
   * Show the columns that a job has a value for. They stay: a column that comes and goes moves all others.
   *
   * @param {import("../model/job_sections.js").Sort | null} sort
   */
  #showColumns(sort) {
    const jobs = this.#jobs();
    const hasCost = jobs.some(({ estimated_cost: cost }) => cost);
    const hasEnd = jobs.some((job) => job.eta_at && !isTerminal(job.status));
    if (hasCost || sort?.key === "cost") setAttribute(this.element, "data-without-cost", null);
    if (hasEnd || sort?.key === "ends") setAttribute(this.element, "data-without-ends", null);
  }

  /** Return the id of the job whose row is under the pointer. */
  #pointedJob() {
    if (!this.#isMouse) return undefined;
    return [...this.#rows()].find(({ element }) => element.matches(":hover"))?.jobId;
  }

  /**
   * Return true if a click on the row under the pointer is likely. At the top of the list, and of a
   * mouse at rest, the reader may be away: new failures come into sight.
   */
  #mayBeClicked() {
    return scrollY > 0 && Date.now() - this.#mouseMovedAt < POINTING_MS;
  }

  /** Return the id of the job whose row has the focus; "" if none has. */
  #focusedJob() {
    if (!this.#list.contains(document.activeElement)) return "";
    const row = [...this.#rows()].find(({ element }) => element.contains(document.activeElement));
    return row?.jobId ?? "";
  }

  /** Return the failures that need the reader. */
  #failedJobs() {
    return this.#shown.attention.filter(({ status }) => status === "failed");
  }

  #isOrderOld() {
    return Date.now() > this.#keptUntil;
  }

  #drawSoon() {
    if (this.#isDrawPending) return;
    this.#isDrawPending = true;
    requestAnimationFrame(() => {
      this.#isDrawPending = false;
      this.#draw();
    });
  }

  /** Draw the rows in and near the window, and those of the selected job and of that with the focus. */
  #draw() {
    const focused = this.#focusedJob();
    const tops = this.#sections.map(({ section }) => section.measure());
    this.#sections.forEach(({ section }, index) => {
      section.draw(tops[index], innerHeight, [this.#selectedJob, focused]);
    });
    // The focus is lost if the row moves in the document, or to another section.
    if (focused && !this.#focusedJob()) this.#getRow(focused)?.link.focus({ preventScroll: true });
  }

  /** @param {string} jobId */
  #getRow(jobId) {
    return [...this.#rows()].find((row) => row.jobId === jobId);
  }

  #showEmptyText() {
    const { roster, connection, notReadyReasons: reasons } = this.#page;
    this.#clear.hidden = !(roster.isLoaded && roster.size);
    if (roster.isLoaded && roster.size) {
      this.#showEmpty("No matching jobs.");
    } else if (reasons.length) {
      const title = roster.isLoaded ? "No jobs yet." : "Jobs are not available yet.";
      // A blocked window goes on only if the reader does what the reason says.
      this.#showEmpty(title, ...reasons, ...(connection.isBlocked ? [] : [CONTINUES]));
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
    const text = this.#emptyText;
    if (text.textContent === title + sentences.join("")) return;
    text.replaceChildren(h("p.title", {}, title), ...sentences.map((one) => h("p", {}, one)));
  }

  #tick() {
    const { clock, roster } = this.#page;
    for (const row of this.#rows()) row.tick();
    const load = clock.isLive ? roster.conductors.loadText() : "";
    setText(this.#section("running").detail, load);
    this.#notices.update();
    this.#summary.update();
    if (this.#isOrderOld()) this.#update();
  }

  #onClear() {
    this.#filters.clear();
    this.#page.main.focus({ preventScroll: true });
  }

  /** @param {RosterEntry} job */
  #toggleSeen(job) {
    const { seenFailures, announcer } = this.#page;
    const isSeen = !seenFailures.has(job);
    const jobs = this.#jobs();
    const next = jobs[jobs.findIndex(({ job_id: id }) => id === job.job_id) + 1];
    this.#page.markSeen([job], isSeen);
    announcer.answer(isSeen ? "Marked as seen: it is under Done." : "Not marked any more.");
    this.#update({ reorder: true });
    if (next) this.#focusJob(next.job_id);
  }

  #markAllSeen() {
    const failed = this.#failedJobs();
    this.#page.markSeen(failed, true);
    this.#page.announcer.answer(`${failed.length} failures marked as seen: they are under Done.`);
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
    this.#keptUntil = Date.now() + STEP_REORDER_MS;
    this.#draw();
    const row = this.#getRow(jobId);
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
    else this.#page.announcer.answer(NO_JOB_URL);
  }
}
