/** Row of a job in the job list. */

import { plainText } from "../model/ansi.js";
import { formatCost, formatEta } from "../model/job_facts.js";
import { formatRest, jobNote } from "../model/job_note.js";
import { formatLastChange, jobDuration, lastChange, waitingSince } from "../model/job_times.js";
import { jobUrl, NO_JOB_URL } from "../model/page_urls.js";
import { isTerminal, statusTone } from "../model/status.js";
import { formatDuration } from "../model/time_format.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { JobStrip } from "./job_strip.js";
import { StatusBadge } from "./status_badge.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */

export class JobRow {
  /** @type {RosterEntry | null} */
  #job = null;
  #page;
  #status = new StatusBadge();
  #strip = new JobStrip();
  #notifyMark = h(
    "span.notify-mark",
    { hidden: true, title: "Notification is on" },
    makeIcon("bell"),
    h("span.visually-hidden", {}, "Notification is on"),
  );
  #note = h("span.note");
  #seen;
  #cells = {
    duration: new Cell("duration", "for"),
    ends: new Cell("ends", "ends"),
    cost: new Cell("cost", "est."),
    changed: new Cell("changed", "Changed"),
  };

  /**
   * @param {string} jobId
   * @param {import("./page.js").Page} page
   * @param {(job: RosterEntry) => void} onSeen is called to mark a failure as seen, or not.
   */
  constructor(jobId, page, onSeen) {
    this.jobId = jobId;
    this.#page = page;
    const [url, name] = [jobUrl(jobId), plainText(jobId)];
    this.link = url
      ? h("a.name", { href: url, "data-page": true, title: name, dir: "auto" }, name)
      : h("span.name", { tabindex: 0, title: NO_JOB_URL }, jobId);
    const reason = url ? null : h("span.reason", { title: NO_JOB_URL }, NO_JOB_URL);
    this.#seen = h(
      "button.quiet.seen",
      {
        type: "button",
        hidden: true,
        "aria-label": `Seen: failure of ${name}`,
        title: "Mark the failure as seen in this browser",
        onclick: () => this.#job && onSeen(this.#job),
      },
      makeIcon("completed"),
      h("span.label", {}, "Seen"),
    );
    const { duration, ends, cost, changed } = this.#cells;
    this.element = h(
      "li.job",
      { onpointerenter: () => url && this.#collectTitles() },
      this.#status.element,
      h(
        "span.line",
        {},
        h("span.title", {}, this.link, reason, this.#notifyMark),
        ...[duration, ends, cost].map(({ element }) => element),
      ),
      this.#strip.element,
      changed.element,
      this.#note,
      this.#seen,
    );
  }

  /**
   * Show a job.
   *
   * @param {RosterEntry} job
   */
  show(job) {
    if (job === this.#job) return;
    this.#job = job;
    setAttribute(this.element, "data-tone", statusTone(job.status));
    this.#status.show(job.status);
    setAttribute(this.#status.element, "title", job.status.replaceAll("_", " "));
    this.#strip.show(job);
    this.#cells.cost.show(formatCost(job.estimated_cost));
    this.#seen.hidden = job.status !== "failed";
    this.updateTimes();
    this.tick();
  }

  /** Show the tooltips of all cells as that of the link, whose area covers the row. */
  #collectTitles() {
    /** @type {NodeListOf<HTMLElement>} */
    const titled = this.element.querySelectorAll("[title]:not(.seen, [hidden])");
    const titles = [...titled].map((cell) =>
      cell === this.link ? plainText(this.jobId) : cell.title,
    );
    setAttribute(this.link, "title", titles.join("\n"));
  }

  /** Update the times that change with the job and with the time zone. */
  updateTimes() {
    if (!this.#job) return;
    const { times, clock } = this.#page;
    const { duration, ends, changed } = this.#cells;
    const startedAt = times.fullDateTime(Date.parse(this.#job.started_at ?? ""));
    setAttribute(duration.element, "title", startedAt ? `Started ${startedAt}` : null);
    const { label, at } = lastChange(this.#job);
    setText(changed.label, `${label} `);
    setAttribute(changed.element, "data-change", label.toLowerCase());
    const changedAt = times.fullDateTime(at);
    setAttribute(changed.element, "title", changedAt ? `${label} ${changedAt}` : null);
    const eta = isTerminal(this.#job.status) ? "" : formatEta(this.#job.eta_at, clock, times);
    setAttribute(ends.element, "title", eta ? `Ends ${eta}` : null);
  }

  /** Update what changes with time: durations, ages, and waits. */
  tick() {
    const job = this.#job;
    if (!job) return;
    const { notifier, clock, times, roster, seenFailures } = this.#page;
    const { duration, ends, changed } = this.#cells;
    this.#notifyMark.hidden = !notifier.rules.hasJob(job.job_id);
    setAttribute(this.#seen, "aria-pressed", String(seenFailures.has(job)));
    const isAtWork = !isTerminal(job.status) && waitingSince(job) === Infinity;
    setText(duration.label, isAtWork ? "for " : "ran ");
    duration.show(formatDuration(jobDuration(job, clock.knownUntil())));
    ends.show(formatRest(job, clock));
    changed.show(formatLastChange(lastChange(job), clock, times));
    const queueReason = clock.isLive ? roster.conductors.queueReason() : "";
    const { text, kind } = jobNote(job, { clock, times, queueReason });
    setText(this.#note, text);
    setAttribute(this.#note, "title", text || null);
    setAttribute(this.element, "data-note", kind || null);
  }
}

/** Labelled value; the label is shown where the list has no columns. */
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

  /**
   * Show a value; "" for none.
   *
   * @param {string} text
   */
  show(text) {
    setText(this.value, text || "–");
    setAttribute(this.element, "data-empty", !text);
  }
}
