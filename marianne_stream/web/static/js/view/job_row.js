/** Row of a job in the job list. */

import { plainText } from "../model/ansi.js";
import { formatJobDuration, formatLastChange, lastChange } from "../model/job_times.js";
import { jobUrl, NO_JOB_URL } from "../model/page_urls.js";
import { isTerminal, statusTone } from "../model/status.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { ProgressBar } from "./progress_bar.js";
import { StatusBadge } from "./status_badge.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */

export class JobRow {
  /** @type {RosterEntry | null} */
  #job = null;
  #status = new StatusBadge();
  #progress = new ProgressBar();
  #notifyMark = h(
    "span.notify-mark",
    { hidden: true, title: "Notification is on" },
    makeIcon("bell"),
  );
  #cells = {
    current: new Cell("current-sheet", "Current"),
    started: new Cell("started", "Started"),
    duration: new Cell("duration", "Duration"),
    changed: new Cell("changed", "Changed"),
  };
  #page;

  /**
   * @param {string} jobId
   * @param {import("./page.js").Page} page
   */
  constructor(jobId, page) {
    this.#page = page;
    const url = jobUrl(jobId);
    this.link = url
      ? h("a.name", { href: url, "data-page": true }, plainText(jobId))
      : h("span.name", { tabindex: 0, title: NO_JOB_URL }, jobId);
    const reason = url ? null : h("span.reason", { title: NO_JOB_URL }, NO_JOB_URL);
    this.element = h(
      "li.job",
      {},
      this.#status.element,
      h("span.title", {}, this.link, reason, this.#notifyMark),
      this.#progress.element,
      Object.values(this.#cells).map(({ element }) => element),
    );
  }

  /**
   * Show a job.
   *
   * @param {RosterEntry} job
   */
  show(job) {
    if (job !== this.#job) {
      this.#job = job;
      const tone = statusTone(job.status);
      setAttribute(this.element, "data-tone", tone);
      this.#status.show(job.status);
      this.#progress.show(job, tone);
      setText(this.#cells.current.value, currentSheetText(job));
      this.updateTimes();
    }
    this.tick();
  }

  /** Update the times that change with the job and with the time zone. */
  updateTimes() {
    if (!this.#job) return;
    const { times } = this.#page;
    const { started, changed } = this.#cells;
    const startedAt = Date.parse(this.#job.started_at ?? "");
    setText(started.value, times.shortDateTime(startedAt) || "–");
    setAttribute(started.element, "title", times.fullDateTime(startedAt) || null);
    const { label, at } = lastChange(this.#job);
    setText(changed.label, `${label} `);
    setAttribute(changed.element, "data-change", label.toLowerCase());
    setAttribute(changed.element, "title", times.fullDateTime(at) || null);
  }

  /** Update what changes with time: durations and ages. */
  tick() {
    const job = this.#job;
    if (!job) return;
    const { notifier, clock, times } = this.#page;
    this.#notifyMark.hidden = !notifier.isEnabled(job.job_id);
    setText(this.#cells.duration.value, formatJobDuration(job, clock) || "–");
    setText(this.#cells.changed.value, formatLastChange(lastChange(job), clock, times) || "–");
  }
}

class Cell {
  value = h("span.value");

  /**
   * @param {string} name
   * @param {string} label
   */
  constructor(name, label) {
    this.label = h("span.label", {}, `${label} `);
    this.element = h("span", { class: `cell ${name}` }, this.label, this.value);
  }
}

/** @param {RosterEntry} job */
function currentSheetText({ status, current_sheet: sheet }) {
  return sheet && !isTerminal(status) ? `sheet ${sheet}` : "–";
}
