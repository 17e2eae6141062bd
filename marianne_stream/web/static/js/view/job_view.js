/** View of one job: `/jobs/{job_id}`. */

import { plainText } from "../model/ansi.js";
import { formatJobDuration, formatLastChange, lastChange } from "../model/job_times.js";
import { Job } from "../model/job.js";
import { isTerminal, statusTone } from "../model/status.js";
import { jobPath, withQuery } from "../wire/api.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { LogView } from "./log_view.js";
import { ProgressBar } from "./progress_bar.js";
import { ProgressChart } from "./progress_chart.js";
import { SheetGrid } from "./sheet_grid.js";
import { StatusBadge } from "./status_badge.js";
import { TimelineView } from "./timeline_view.js";

/** Number of past events to request. */
const PAST_EVENTS = 200;

const TICK_MS = 1_000;

export class JobView {
  #page;
  #jobId;
  #job = new Job();
  #status = new StatusBadge();
  #progress = new ProgressBar();
  #error = h("pre.job-error", { hidden: true, tabindex: 0, role: "alert" });
  #facts = {
    started: new Fact("Started"),
    duration: new Fact("Duration"),
    current: new Fact("Current"),
    changed: new Fact("Changed"),
  };
  #notifyLabel = h("span");
  #notifyButton;
  #sheets = new SheetGrid();
  #chart;
  #timeline;
  #log;
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
    this.#chart = new ProgressChart(page);
    this.#timeline = new TimelineView(page.times, () => this.#followEvents());
    this.#log = new LogView(page, jobId);
    this.#notifyButton = h(
      "button.quiet",
      {
        type: "button",
        title: "Notify when this job has finished",
        onclick: () => this.#toggleNotification(),
      },
      makeIcon("bell"),
      this.#notifyLabel,
    );
    this.element = this.#makeElement();
    this.shortcuts = this.#log.shortcuts;
    this.#updateNotifyButton();
  }

  /** Subscribe to the job's streams; the element is in the page. */
  open() {
    this.#page.tab.setTitle(plainText(this.#jobId));
    this.#followStatus();
    this.#followEvents();
    this.#log.open();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
    this.#closeStatus?.();
    this.#closeEvents?.();
    this.#log.close();
  }

  onTimeZoneChange() {
    this.#tick();
    this.#timeline.onTimeZoneChange();
    this.#log.onTimeZoneChange();
  }

  /** Show the lines of the log that the address names. */
  onFragmentChange() {
    this.#log.onFragmentChange();
  }

  /** Subscribe anew if the job was resumed after its end, or was created after the view was opened. */
  onRosterChange() {
    const { roster, notReadyReasons: reasons } = this.#page;
    const entry = roster.get(this.#jobId);
    const isOver =
      this.#outcome === "failed" || (this.#outcome === "ended" && !isTerminal(entry?.status));
    if (entry && isOver) {
      this.#followStatus();
      this.#log.resume();
    }
    if (!roster.isLoaded && !this.#job.status && reasons.length) {
      this.#showError(reasons.join(" "));
    }
    this.#tick();
  }

  #makeElement() {
    const facts = Object.values(this.#facts).map(({ element }) => element);
    return h(
      "article.job-view",
      { "aria-labelledby": "job-heading" },
      h(
        "header.job-header",
        {},
        h(
          "a.back",
          { href: "/", "data-page": true, title: "All jobs" },
          makeIcon("back"),
          h("span.visually-hidden", {}, "All jobs"),
        ),
        h("h1", { id: "job-heading", tabindex: -1 }, plainText(this.#jobId)),
        this.#status.element,
        this.#progress.element,
        h("dl.facts", {}, facts),
        this.#notifyButton,
      ),
      this.#error,
      h(
        "div.job-panels",
        {},
        h("div.side", {}, this.#sheets.element, this.#chart.element, this.#timeline.element),
        this.#log.element,
      ),
    );
  }

  #followStatus() {
    this.#outcome = "";
    this.#closeStatus?.();
    this.#closeStatus = this.#page.follow({
      path: jobPath(this.#jobId, "stream"),
      kind: "status",
      onEvents: (events) => this.#applyStatusEvents(events),
      onState: ({ phase, status, detail }) => {
        if (phase === "ended" || phase === "failed") this.#outcome = phase;
        if (phase === "failed" && status !== 401) this.#showError(detail);
      },
    });
  }

  #followEvents() {
    this.#closeEvents?.();
    const query = { job_id: this.#jobId, event: this.#timeline.prefixes, limit: PAST_EVENTS };
    this.#closeEvents = this.#page.follow({
      path: withQuery("/api/events/stream", query),
      kind: "events",
      onEvents: (events) => this.#timeline.applyEvents(events),
    });
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #applyStatusEvents(events) {
    this.#job.applyEvents(events);
    const { status, isDeleted, streamError } = this.#job;
    if (status) this.#showStatus(status);
    const deleted = isDeleted
      ? "This job no longer exists: the conductor does not list it any more."
      : "";
    this.#showError(deleted || streamError || status?.error_message);
  }

  /** @param {import("../model/job.js").JobStatus} status */
  #showStatus(status) {
    const tone = statusTone(status.status);
    setAttribute(this.element, "data-tone", tone);
    this.#status.show(status.status);
    this.#progress.show(status, tone);
    this.#sheets.show(this.#job);
    this.#tick();
  }

  /** @param {string | null | undefined} sentence */
  #showError(sentence) {
    this.#error.hidden = !sentence;
    setText(this.#error, plainText(sentence ?? ""));
  }

  /** Update the facts and the chart, which change with time. */
  #tick() {
    const entry = this.#page.roster.get(this.#jobId);
    const status = this.#job.status ?? entry;
    if (!status) return;
    const job = { ...entry, ...status, last_progress_at: latestProgress(entry, status) };
    const { clock, times } = this.#page;
    const startedAt = Date.parse(job.started_at ?? "");
    const { started, duration, current, changed } = this.#facts;
    started.show(times.shortDateTime(startedAt), times.fullDateTime(startedAt));
    duration.show(formatJobDuration(job, clock));
    const sheet = isTerminal(job.status) ? null : this.#job.status?.current_sheet;
    current.show(sheet ? `sheet ${sheet}` : "");
    const change = lastChange(job);
    setText(changed.label, change.label);
    changed.show(formatLastChange(change, clock, times), times.fullDateTime(change.at));
    const endedAt = isTerminal(job.status) ? Date.parse(job.completed_at ?? "") : NaN;
    this.#chart.show(this.#job.progress, { startedAt, endedAt });
  }

  async #toggleNotification() {
    const isEnabled = await this.#page.notifier.toggle(this.#jobId);
    this.#page.announcer.announce(isEnabled ? "Notification is on." : "Notification is off.");
    this.#updateNotifyButton();
  }

  #updateNotifyButton() {
    const isEnabled = this.#page.notifier.isEnabled(this.#jobId);
    setAttribute(this.#notifyButton, "aria-pressed", String(isEnabled));
    setText(this.#notifyLabel, isEnabled ? "Notifying" : "Notify");
  }
}

/** Labelled value in the header. */
class Fact {
  #value = h("dd");

  /** @param {string} label */
  constructor(label) {
    this.label = h("dt", {}, label);
    this.element = h("div", {}, this.label, this.#value);
  }

  /**
   * Show a value; "–" for none.
   *
   * @param {string} text
   * @param {string} [title]
   */
  show(text, title) {
    setText(this.#value, text || "–");
    setAttribute(this.#value, "title", title || null);
  }
}

/**
 * Return the later time of progress: neither roster nor status is sent for this field alone.
 *
 * @param {...({last_progress_at?: string | null} | undefined)} states
 */
function latestProgress(...states) {
  return states
    .map((state) => state?.last_progress_at)
    .filter((time) => Boolean(time))
    .sort()
    .at(-1);
}
