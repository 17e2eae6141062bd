/** View of one job: `/jobs/{job_id}`. */

import { plainText } from "../model/ansi.js";
import { sheetToOpen } from "../model/gantt.js";
import { Job } from "../model/job.js";
import { isTerminal, statusTone } from "../model/status.js";
import { ApiError, getJson, jobPart, jobPath, withQuery } from "../wire/api.js";
import { GanttView } from "./gantt_view.js";
import { h, setAttribute } from "./dom.js";
import { JobHead } from "./job_head.js";
import { JobTabs } from "./job_tabs.js";
import { LogView } from "./log_view.js";
import { NotifyButton } from "./notify_button.js";
import { SheetPanel } from "./sheet_panel.js";
import { TimelineView } from "./timeline_view.js";

/** Number of past events to request. */
const PAST_EVENTS = 200;

const TICK_MS = 1_000;

export class JobView {
  #page;
  #jobId;
  #job = new Job();
  #notify;
  #head;
  #gantt;
  #panel;
  #timeline;
  #log;
  #tabs;
  /** @type {number | null} number of the chosen sheet. */
  #selected = null;
  /** True once the sheet to show first has been chosen. */
  #isOpened = false;
  /** Value of `Job.completeCount` for which the recorded transitions were requested. */
  #historyCount = 0;
  #closing = new AbortController();
  /** @type {(() => void) | null} */
  #closeStatus = null;
  /** @type {(() => void) | null} */
  #closeEvents = null;
  /** @type {"ended" | "failed" | ""} how the status stream ended; "" while it has not. */
  #outcome = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   */
  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#gantt = new GanttView(page, (number) => this.#select(number));
    this.#panel = new SheetPanel(page, jobId, () => this.#closePanel());
    this.#timeline = new TimelineView(jobId, page.times, () => this.#followEvents());
    this.#log = new LogView(page, jobId);
    this.#notify = new NotifyButton(page.notifier, jobId);
    this.#head = new JobHead(page, jobId, this.#notify.element);
    const [header, ...facts] = this.#head.elements;
    this.#tabs = new JobTabs({
      sheets: [this.#gantt.element, this.#panel.element],
      log: [this.#log.element],
      events: [this.#timeline.element],
    });
    this.element = h(
      "article.job-view",
      { "aria-labelledby": "job-heading" },
      h("div.job-top", {}, header, this.#tabs.element),
      h("div.job-details", {}, facts),
      h(
        "div.job-panels",
        {},
        h("div.side", {}, this.#gantt.element, this.#timeline.element),
        h("div.main-side", {}, this.#panel.element, this.#log.element),
      ),
    );
    this.element.addEventListener("keydown", (event) => this.#onKeyDown(event));
    this.shortcuts = this.#makeShortcuts();
  }

  /** Subscribe to the job's streams; the element is in the page. */
  open() {
    this.#page.tab.setTitle(plainText(this.#jobId));
    this.#followStatus();
    this.#followEvents();
    if (this.#log.open()) this.#tabs.show("log");
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
    this.#closing.abort();
    this.#closeStatus?.();
    this.#closeEvents?.();
    this.#gantt.close();
    this.#panel.close();
    this.#timeline.close();
    this.#log.close();
    this.#tabs.close();
    this.#notify.close();
  }

  onTimeZoneChange() {
    this.#tick();
    this.#panel.onTimeZoneChange();
    this.#timeline.onTimeZoneChange();
    this.#log.onTimeZoneChange();
  }

  /** Show the lines of the log that the address names. */
  onFragmentChange() {
    if (this.#log.onFragmentChange()) this.#tabs.show("log");
  }

  /** Move the focus to the log. */
  focusLog() {
    this.#tabs.show("log");
    this.#log.focus();
  }

  /** Subscribe anew if the job was resumed after its end, or was created after the view was opened. */
  onRosterChange() {
    const { connection, roster, notReadyReasons: reasons } = this.#page;
    const entry = roster.get(this.#jobId);
    const isOver =
      this.#outcome === "failed" || (this.#outcome === "ended" && !isTerminal(entry?.status));
    if (entry && isOver) {
      if (this.#outcome === "failed") this.#followEvents();
      this.#followStatus();
      this.#log.resume();
    }
    if (!roster.isLoaded && !this.#job.status && reasons.length && !connection.isBlocked) {
      this.#head.showError(reasons.join(" "));
    }
    this.#tick();
  }

  #makeShortcuts() {
    return this.#log.shortcuts.map((shortcut) => {
      if (shortcut.key === "Escape") return this.#makeEscape(shortcut);
      /** @param {KeyboardEvent} event */
      const run = (event) => {
        this.#tabs.show("log");
        shortcut.run(event);
      };
      return { ...shortcut, run };
    });
  }

  /** @param {import("./shortcuts.js").Shortcut} shortcut of the log. */
  #makeEscape(shortcut) {
    /** @param {KeyboardEvent} event */
    const run = (event) => {
      if (this.#panel.isOpen && !this.#log.hasSelection) this.#closePanel();
      else shortcut.run(event);
    };
    return { ...shortcut, label: "Clear the selection, close the sheet", run };
  }

  /**
   * Close the panel by Escape from the chart or from the panel itself, whatever is selected in the log.
   *
   * @param {KeyboardEvent} event
   */
  #onKeyDown(event) {
    const { target } = event;
    if (event.key !== "Escape" || !this.#panel.isOpen || !(target instanceof Element)) return;
    if (!target.closest(".sheets, .sheet-panel")) return;
    event.preventDefault();
    event.stopPropagation();
    this.#closePanel();
  }

  /** @param {number | null} number of a sheet. */
  #select(number) {
    this.#selected = number;
    this.#updatePanel();
    this.#gantt.select(number);
    if (this.#job.status) this.#updateError();
  }

  #closePanel() {
    const hasFocus = this.#panel.element.contains(document.activeElement);
    this.#select(null);
    if (hasFocus) this.#gantt.focus();
  }

  #updatePanel() {
    const { status } = this.#job;
    const endedAt = isTerminal(status?.status) ? Date.parse(status?.completed_at ?? "") : NaN;
    this.#panel.show(this.#job.getSheet(this.#selected), { run: status?.run, endedAt });
  }

  #followStatus() {
    this.#outcome = "";
    this.#closeStatus?.();
    this.#closeStatus = this.#page.follow({
      part: jobPart("status", this.#jobId),
      onEvents: (events) => this.#applyStatusEvents(events),
      onState: ({ phase, status, detail }) => {
        if (phase === "ended" || phase === "failed") this.#outcome = phase;
        if (detail && status !== 401) this.#head.showError(detail);
      },
    });
  }

  #followEvents() {
    this.#closeEvents?.();
    const query = { event: this.#timeline.prefixes, limit: PAST_EVENTS };
    this.#closeEvents = this.#page.follow({
      part: jobPart("events", this.#jobId, query),
      onEvents: (events) => this.#timeline.applyEvents(events),
      onState: (state) => this.#timeline.onStreamState(state),
    });
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #applyStatusEvents(events) {
    this.#job.applyEvents(events);
    const { status, completeCount } = this.#job;
    if (status) this.#showStatus(status);
    if (completeCount !== this.#historyCount) {
      this.#historyCount = completeCount;
      this.#loadHistory();
    }
    this.#updateError();
  }

  /** @param {import("../model/job.js").JobStatus} status */
  #showStatus(status) {
    setAttribute(this.element, "data-tone", statusTone(status.status));
    this.#head.showStatus(status);
    this.#gantt.show(this.#job);
    if (!this.#isOpened && this.#job.completeCount > 0) {
      this.#isOpened = true;
      this.#select(sheetToOpen(status, this.#job.sheets));
      if (this.#selected === null && status.current_sheet) this.#gantt.reveal(status.current_sheet);
    } else this.#updatePanel();
    this.#tick();
  }

  /** Show the job's error, unless it is that of the sheet in the panel. */
  #updateError() {
    const { status, isDeleted } = this.#job;
    const deleted = isDeleted
      ? "This job no longer exists: the conductor does not list it any more."
      : "";
    const own = status?.error_message;
    const sheetError = this.#job.getSheet(this.#selected)?.error_message;
    const isShown = Boolean(sheetError && own?.startsWith(sheetError));
    this.#head.showError(deleted || (isShown ? "" : own));
  }

  /** Request the recorded transitions of the run: retries and waits before the page was opened. */
  async #loadHistory() {
    const { signal } = this.#closing;
    try {
      const { run, transitions } = await this.#fetchRecorded(signal);
      if (run !== this.#job.status?.run) return;
      this.#job.history.load(transitions);
      this.#gantt.show(this.#job);
    } catch (error) {
      // Without recorded history, bars have the retries and waits that this page has seen.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  /**
   * Request the newest run, which has its sheets in pages.
   *
   * @param {AbortSignal} signal
   */
  async #fetchRecorded(signal) {
    let page = await getJson(jobPath(this.#jobId, "runs", "latest"), { signal });
    const { run } = page;
    /** @type {import("../model/sheet_history.js").RecordedTransition[]} */
    const transitions = page.transitions;
    while (page.next) {
      const path = withQuery(jobPath(this.#jobId, "runs", run), { after: page.next });
      page = await getJson(path, { signal });
      transitions.push(...page.transitions);
    }
    return { run, transitions };
  }

  /** Update what changes with time. */
  #tick() {
    this.#head.tick(this.#job.status, this.#page.roster.get(this.#jobId));
    this.#gantt.tick();
    this.#panel.tick();
  }
}
