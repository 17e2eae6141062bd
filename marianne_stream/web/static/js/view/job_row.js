/** One job in the list. */

import { plain } from "../model/ansi.js";
import { changedAt } from "../model/roster.js";
import { isTerminal, lookOf } from "../model/status.js";
import { ago, duration, moment, whole } from "../model/times.js";
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
  #notifier;

  constructor(jobId, notifier) {
    this.#notifier = notifier;
    this.link = h(
      "a.name",
      { href: `/jobs/${encodeURIComponent(jobId)}`, "data-page": true },
      plain(jobId),
    );
    const names = { now: "Now", started: "Started", duration: "Duration", changed: "Changed" };
    this.#cells = Object.fromEntries(
      Object.entries(names).map(([name, label]) => [name, cell(name, label)]),
    );
    this.element = h(
      "li.job",
      {},
      this.#status,
      h("span.title", {}, this.link, this.#bell),
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
      const started = Date.parse(job.started_at ?? "");
      setText(this.#cells.started.value, moment(started) || "–");
      attribute(this.#cells.started.element, "title", whole(started) || null);
    }
    this.tick();
  }

  /** Counts its times on. */
  tick() {
    const job = this.#job;
    if (!job) return;
    this.#bell.hidden = !this.#notifier.has(job.job_id);
    setText(this.#cells.duration.value, durationOf(job) || "–");
    const changed = changedAt(job);
    setText(this.#cells.changed.value, ago(changed) || "–");
    attribute(this.#cells.changed.element, "title", whole(changed) || null);
  }
}

function cell(name, label) {
  const value = h("span.value");
  return { element: h(`span.cell.${name}`, {}, h("span.label", {}, `${label} `), value), value };
}

function nowText({ status, current_sheet: sheet }) {
  if (isTerminal(status)) return "–";
  return sheet ? `sheet ${sheet}` : "–";
}

/** How long a job has run, or ran; "" where the end or the beginning is not known. */
export function durationOf({ status, started_at: started, completed_at: completed }) {
  const from = Date.parse(started ?? "");
  const to = isTerminal(status) ? Date.parse(completed ?? "") : Date.now();
  return duration(to - from);
}
