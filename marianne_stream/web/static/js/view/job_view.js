/** View of one job: `/jobs/{job_id}`. */

import { plainText } from "../model/ansi.js";
import { sheetToOpen } from "../model/gantt.js";
import { hasError } from "../model/sheet_detail.js";
import { Job } from "../model/job.js";
import { parseFileFragment } from "../model/job_files.js";
import { isQueued } from "../model/job_times.js";
import { Resubscription } from "../model/resubscription.js";
import { isTerminal, statusTone } from "../model/status.js";
import { ApiError, getNewestRun, jobPart } from "../wire/api.js";
import { GanttView } from "./gantt_view.js";
import { findElement, h, setAttribute, setChildren } from "./dom.js";
import { FilesView } from "./files_view.js";
import { JobHead } from "./job_head.js";
import { JobTabs } from "./job_tabs.js";
import { makeJobLog, pushFragment, replaceFragment } from "./log_source.js";
import { LogView } from "./log_view.js";
import { MissingJob } from "./missing_job.js";
import { NotifyButton } from "./notify_button.js";
import { SheetPanel } from "./sheet_panel.js";
import { TimelineView } from "./timeline_view.js";

/** Number of past events to request. */
const PAST_EVENTS = 200;

const TICK_MS = 1_000;

const DELETED =
  "This job no longer exists: the conductor does not list it any more. The page shows its last known " +
  "state, and goes on if the job is submitted again.";

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
  #files;
  #tabs;
  /** @type {number | null} number of the chosen sheet. */
  #selected = null;
  /** @type {number | null} number of the sheet that needs the reader, and has been shown. */
  #offered = null;
  /** Value of `Job.completeCount` for which the recorded transitions were requested. */
  #historyCount = 0;
  #closing = new AbortController();
  /** @type {(() => void) | null} */
  #closeStatus = null;
  /** @type {(() => void) | null} */
  #closeEvents = null;
  /** @type {"ended" | "failed" | ""} how the status stream ended; "" while it has not. */
  #outcome = "";
  /** Error of the status stream, as a sentence. */
  #failure = "";
  #resubscription = new Resubscription();
  #missing;
  /** Elements of the view of a job that exists. */
  #content;
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
    this.#panel = new SheetPanel(page, jobId, {
      onClose: () => this.#closePanel(),
      onShowLog: (time) => {
        this.#tabs.show("log");
        this.#log.goToTime(time);
      },
    });
    this.#timeline = new TimelineView(jobId, page.times, () => this.#followEvents());
    this.#log = new LogView(page, makeJobLog(page, jobId));
    this.#files = new FilesView(page, jobId, (number) => {
      this.#tabs.showSheets();
      this.#select(number);
    });
    this.#notify = new NotifyButton(page.notifier, jobId);
    this.#head = new JobHead(page, jobId, this.#notify.element);
    this.#tabs = new JobTabs(
      {
        sheets: [this.#gantt.element, this.#panel.element],
        log: [this.#log.element],
        files: [this.#files.element],
        events: [this.#timeline.element],
      },
      (isShown, isChosen) => this.#onFilesShown(isShown, isChosen),
    );
    this.#missing = new MissingJob(jobId);
    this.#content = this.#makeContent();
    this.element = h("article.job-view", { "aria-labelledby": "job-heading" }, ...this.#content);
    this.element.addEventListener("keydown", (event) => this.#onKeyDown(event));
    this.shortcuts = this.#makeShortcuts();
  }

  #makeContent() {
    const [header, ...facts] = this.#head.elements;
    return [
      h("div.job-top", {}, header, this.#tabs.element),
      h("div.job-details", {}, facts),
      h(
        "div.job-panels",
        {},
        h("div.side", {}, this.#gantt.element, this.#timeline.element),
        h(
          "div.main-side",
          {},
          this.#panel.element,
          this.#tabs.mainElement,
          h("div.main-panel", {}, this.#log.element, this.#files.element),
        ),
      ),
    ];
  }

  /** Subscribe to the job's streams; the element is in the page. */
  open() {
    this.#page.tab.setTitle(plainText(this.#jobId));
    this.#followStatus();
    this.#followEvents();
    if (this.#log.open()) this.#tabs.show("log");
    if (this.#files.onFragmentChange()) this.#tabs.show("files");
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
    this.#closing.abort();
    this.#closeStatus?.();
    this.#closeEvents?.();
    const views = [this.#gantt, this.#panel, this.#timeline, this.#log, this.#files];
    for (const part of [...views, this.#tabs, this.#notify]) part.close();
  }

  onTimeZoneChange() {
    this.#tick();
    this.#panel.onTimeZoneChange();
    this.#timeline.onTimeZoneChange();
    this.#log.onTimeZoneChange();
    this.#files.onTimeZoneChange();
  }

  /** Show the file, or the lines of the log, that the address names. */
  onFragmentChange() {
    if (this.#files.onFragmentChange()) this.#tabs.show("files");
    else if (this.#log.onFragmentChange()) this.#tabs.show("log");
    else this.#tabs.leaveFiles();
  }

  /**
   * Let the address name the files while they are shown, and else the selected lines of the log.
   *
   * @param {boolean} isShown
   * @param {boolean} isChosen by the reader, whom Back leads to what was shown before.
   */
  #onFilesShown(isShown, isChosen) {
    this.#files.setShown(isShown);
    const isNamed = parseFileFragment(location.hash) !== null;
    if (isNamed === isShown) return;
    (isChosen ? pushFragment : replaceFragment)(isShown ? this.#files.fragment : "");
    (isShown ? this.#files.log : this.#log)?.nameSelection();
  }

  /** Move the focus to the log. */
  focusLog() {
    this.#tabs.show("log");
    findElement("#log").focus();
  }

  /** Show what the roster says of the job, and why the page is not live. */
  onRosterChange() {
    this.#tick();
  }

  /**
   * Subscribe anew if the job was resumed after its end, or was submitted after the view was opened or
   * after it was deleted: at once if its status in the roster changes, and from time to time until its
   * status is known.
   */
  #resubscribe() {
    const entry = this.#page.roster.get(this.#jobId);
    if (!this.#outcome) return;
    if (!entry || this.#hasEndedAsListed(entry)) {
      this.#resubscription.reset();
      return;
    }
    if (!this.#resubscription.isDue(entry.status, performance.now())) return;
    if (this.#outcome === "failed") this.#followEvents();
    this.#followStatus();
    this.#log.resume();
    this.#files.resume();
  }

  /**
   * Return true if the status stream has ended, and the roster says that the job has, too.
   *
   * @param {import("../model/roster.js").RosterEntry} entry
   */
  #hasEndedAsListed({ status }) {
    return this.#outcome === "ended" && !this.#job.isDeleted && isTerminal(status);
  }

  #makeShortcuts() {
    return this.#log.shortcuts.map((shortcut) => ({
      ...shortcut,
      label: shortcut.key === "Escape" ? "Clear the selection, close the sheet" : shortcut.label,
      run: (/** @type {KeyboardEvent} */ event) => this.#runShortcut(shortcut, event),
    }));
  }

  /**
   * @param {import("./shortcuts.js").Shortcut} shortcut of the log.
   * @param {KeyboardEvent} event
   */
  #runShortcut(shortcut, event) {
    const { isShown: areFilesShown } = this.#files;
    const log = areFilesShown ? this.#files.log : this.#log;
    const isEscape = shortcut.key === "Escape";
    if (isEscape && this.#panel.isOpen && !log?.hasSelection) this.#closePanel();
    else if (areFilesShown) this.#files.runShortcut(event);
    else {
      if (!isEscape) this.#tabs.show("log");
      shortcut.run(event);
    }
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
    this.#updateError();
  }

  #closePanel() {
    const hasFocus = this.#panel.element.contains(document.activeElement);
    this.#select(null);
    if (hasFocus) this.#gantt.focus();
  }

  #updatePanel() {
    this.#panel.show(this.#job.getSheet(this.#selected), this.#job);
  }

  #followStatus() {
    this.#outcome = "";
    this.#closeStatus?.();
    this.#closeStatus = this.#page.follow({
      part: jobPart("status", this.#jobId),
      onEvents: (events) => this.#applyStatusEvents(events),
      onState: (state) => this.#onStatusState(state),
    });
  }

  /** @param {import("../wire/event_stream.js").StreamState} state of the status stream. */
  #onStatusState(state) {
    const { phase, status, code, detail } = state;
    if (phase === "ended" || phase === "failed") this.#outcome = phase;
    if (!this.#job.status && MissingJob.isReason(state)) {
      this.#missing.show(state);
      this.#setMissing(true);
    } else if (phase === "failed" && code === "job_not_found") {
      this.#job.setDeleted(this.#page.clock.now());
      this.#showJob();
    } else if (detail && status !== 401) {
      this.#failure = detail;
      this.#updateError();
    }
  }

  /** @param {boolean} isMissing true if there is no job to show. */
  #setMissing(isMissing) {
    const shown = isMissing ? [this.#missing.element] : this.#content;
    if (this.element.contains(shown[0])) return;
    setChildren(this.element, shown);
    this.#page.shortcuts.setView(isMissing ? [] : this.shortcuts);
    findElement("#skip-to-log").hidden = isMissing;
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
    this.#files.refreshSoon();
    this.#failure = "";
    this.#showJob();
    const { completeCount } = this.#job;
    if (completeCount !== this.#historyCount) {
      this.#historyCount = completeCount;
      this.#loadHistory();
    }
  }

  /**
   * Choose the sheet that needs the reader as soon as there is one, unless another is chosen: the focus
   * stays.
   *
   * @param {import("../model/job.js").JobStatus} status
   */
  #offerSheet(status) {
    const number = sheetToOpen(status, this.#job.sheets);
    const isNew = number !== this.#offered;
    if (number !== null && isNew && this.#selected === null) this.#select(number);
    this.#offered = number;
  }

  #showJob() {
    const { status, isDeleted } = this.#job;
    if (!status) return;
    this.#setMissing(false);
    setAttribute(this.element, "data-tone", isDeleted ? "unknown" : statusTone(status.status));
    setAttribute(this.element, "data-deleted", isDeleted);
    setAttribute(this.element, "data-queued", isQueued(status));
    this.#head.showStatus(this.#job);
    this.#gantt.show(this.#job);
    this.#updatePanel();
    this.#offerSheet(status);
    this.#tick();
    this.#updateError();
  }

  /** Show the job's error. */
  #updateError() {
    const own = this.#job.status?.error_message ?? "";
    const failure = this.#page.staleReason ? "" : this.#failure;
    const isInPanel = hasError(this.#job.getSheet(this.#selected), own);
    if (isInPanel && failure) this.#head.showError(failure, false);
    else this.#head.showError(own || failure, isInPanel);
  }

  /** Request the recorded transitions of the run: retries and waits before the page was opened. */
  async #loadHistory() {
    const { signal } = this.#closing;
    try {
      const { run, transitions } = await getNewestRun(this.#jobId, signal);
      if (run !== this.#job.status?.run) return;
      this.#job.history.load(transitions);
      this.#gantt.show(this.#job);
    } catch (error) {
      // Without recorded history, bars have the retries and waits that this page has seen.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  /** Update what changes with time. */
  #tick() {
    this.#resubscribe();
    this.#head.showStale(this.#staleSentence());
    this.#head.tick(this.#job, this.#page.roster.get(this.#jobId));
    this.#gantt.tick();
    this.#panel.tick();
  }

  /** Return why the view is not live, and what it shows; "" if it is live or has just been opened. */
  #staleSentence() {
    const { clock, connection, staleReason: reason, times } = this.#page;
    if (this.#job.isDeleted) return DELETED;
    if (!reason || connection.isBlocked) return reason;
    if (!this.#job.status) return `${reason} This page shows the job as soon as it can be read.`;
    const at = times.shortDateTime(clock.knownUntil());
    const known = at ? `This is the job as of ${at}` : "This is the last known state";
    return `${reason} ${known}; it updates by itself.`;
  }
}
