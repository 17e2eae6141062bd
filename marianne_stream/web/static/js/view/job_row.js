/** One job in the list. */

import { plain } from "../model/ansi.js";
import { addressOf, NO_ADDRESS } from "../model/job_address.js";
import { changeText, durationOf, lastChangeOf } from "../model/run_times.js";
import { isTerminal, lookOf } from "../model/status.js";
import { attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { progressBar, showProgress } from "./progress_bar.js";
import { showStatus, statusMark } from "./status_mark.js";

/** A row, made once for each job. */
export class JobRow {
  #job = null;
  #status = statusMark();
  #progress = progressBar();
  #bell = h("span.bell", { hidden: true, title: "A notification is asked for" }, glyph("bell"));
  #cells;
  #page;

  /**
   * @param {string} jobId
   * @param {object} page has the notifier, the clock and the times.
   */
  constructor(jobId, page) {
    this.#page = page;
    const address = addressOf(jobId);
    this.link = address
      ? h("a.name", { href: address, "data-page": true }, plain(jobId))
      : h("span.name", { tabindex: 0, title: NO_ADDRESS }, jobId);
    const reason = address ? null : h("span.reason", { title: NO_ADDRESS }, NO_ADDRESS);
    const names = { now: "Now", started: "Started", duration: "Duration", changed: "Changed" };
    this.#cells = Object.fromEntries(
      Object.entries(names).map(([name, label]) => [name, cell(name, label)]),
    );
    this.element = h(
      "li.job",
      {},
      this.#status,
      h("span.title", {}, this.link, reason, this.#bell),
      this.#progress,
      Object.values(this.#cells).map(({ element }) => element),
    );
  }

  /** Shows a job as the roster has it. */
  show(job) {
    if (job !== this.#job) {
      this.#job = job;
      const look = lookOf(job.status);
      attribute(this.element, "data-look", look);
      showStatus(this.#status, job.status);
      showProgress(this.#progress, job, look);
      setText(this.#cells.now.value, nowText(job));
      this.showMoments();
    }
    this.tick();
  }

  /** Shows what changes with the job, and with the time zone. */
  showMoments() {
    const { times } = this.#page;
    const { started, changed } = this.#cells;
    const startedAt = Date.parse(this.#job.started_at ?? "");
    setText(started.value, times.moment(startedAt) || "–");
    attribute(started.element, "title", times.whole(startedAt) || null);
    const { label, at } = lastChangeOf(this.#job);
    setText(changed.label, `${label} `);
    attribute(changed.element, "data-change", label.toLowerCase());
    attribute(changed.element, "title", times.whole(at) || null);
  }

  /** Counts its times on. */
  tick() {
    const job = this.#job;
    if (!job) return;
    const { notifier, clock, times } = this.#page;
    this.#bell.hidden = !notifier.has(job.job_id);
    setText(this.#cells.duration.value, durationOf(job, clock) || "–");
    setText(this.#cells.changed.value, changeText(lastChangeOf(job), clock, times) || "–");
  }
}

function cell(name, label) {
  const value = h("span.value");
  const shown = h("span.label", {}, `${label} `);
  return { element: h(`span.cell.${name}`, {}, shown, value), label: shown, value };
}

function nowText({ status, current_sheet: sheet }) {
  if (isTerminal(status)) return "–";
  return sheet ? `sheet ${sheet}` : "–";
}
