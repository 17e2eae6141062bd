/** Head of the job view: status, progress and times, what the job waits for, and its error. */

import { plainText } from "../model/ansi.js";
import {
  formatCost,
  formatEta,
  formatTokens,
  stalledSentence,
  waitingSentence,
} from "../model/job_facts.js";
import { formatJobDuration, formatLastChange, lastChange } from "../model/job_times.js";
import { isTerminal, statusTone } from "../model/status.js";
import { makeCopyButton } from "./copy_button.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { ProgressBar } from "./progress_bar.js";
import { StatusBadge } from "./status_badge.js";

/** @typedef {import("../model/job.js").JobStatus} JobStatus */

export class JobHead {
  #page;
  #status = new StatusBadge();
  #progress = new ProgressBar();
  #facts = {
    duration: new Fact("Duration"),
    eta: new Fact("Ends", { isOptional: true }),
    started: new Fact("Started"),
    current: new Fact("Current", { isOptional: true }),
    changed: new Fact("Changed"),
    cost: new Fact("Cost", { isOptional: true }),
    tokens: new Fact("Tokens", { isOptional: true }),
  };
  #waiting = new Notice("waiting");
  #stalled = new Notice("paused");
  #command = h("code", { tabindex: 0, "aria-label": "Command" });
  #resume;
  #error = h("pre.job-error", { hidden: true, tabindex: 0, role: "alert" });

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   * @param {HTMLElement} actions beside the title.
   */
  constructor(page, jobId, actions) {
    this.#page = page;
    const copy = () => this.#command.textContent ?? "";
    this.#resume = h(
      "div.resume",
      { hidden: true },
      h("span", {}, "To go on, run"),
      this.#command,
      makeCopyButton("the command", copy, page.announcer),
    );
    this.elements = [
      h(
        "header.job-header",
        {},
        h(
          "a.back",
          { href: page.listUrl, "data-page": true, title: "All jobs" },
          makeIcon("back"),
          h("span.visually-hidden", {}, "All jobs"),
        ),
        h("h1", { id: "job-heading", tabindex: -1 }, plainText(jobId)),
        this.#status.element,
        this.#progress.element,
        actions,
      ),
      h(
        "dl.facts",
        {},
        Object.entries(this.#facts).map(([name, { element }]) => {
          setAttribute(element, "data-fact", name);
          return element;
        }),
      ),
      this.#waiting.element,
      this.#stalled.element,
      this.#resume,
      this.#error,
    ];
  }

  /**
   * Show a new status.
   *
   * @param {JobStatus} status
   */
  showStatus(status) {
    this.#status.show(status.status);
    this.#progress.show(status, statusTone(status.status));
    const command = plainText(status.resume_command ?? "");
    this.#resume.hidden = !command;
    setText(this.#command, command);
    this.#stalled.show(stalledSentence(status.stalled));
  }

  /** @param {string | null | undefined} sentence */
  showError(sentence) {
    this.#error.hidden = !sentence;
    setText(this.#error, plainText(sentence ?? ""));
  }

  /**
   * Update what changes with time.
   *
   * @param {JobStatus | null} status null before it has been received.
   * @param {import("../model/roster.js").RosterEntry | undefined} entry of the roster.
   */
  tick(status, entry) {
    const known = status ?? entry;
    if (!known) return;
    const job = { ...entry, ...known, last_progress_at: latestProgress(entry, known) };
    const { clock, times } = this.#page;
    const startedAt = Date.parse(job.started_at ?? "");
    const { started, duration, eta, current, changed, cost, tokens } = this.#facts;
    started.show(times.shortDateTime(startedAt), times.fullDateTime(startedAt));
    duration.show(formatJobDuration(job, clock));
    const isOver = isTerminal(job.status);
    const end = isOver ? null : status?.eta_at;
    eta.show(formatEta(end, clock, times), times.fullDateTime(Date.parse(end ?? "")));
    const sheet = isOver ? null : status?.current_sheet;
    current.show(sheet ? `sheet ${sheet}` : "");
    const change = lastChange(job);
    setText(changed.label, change.label);
    changed.show(formatLastChange(change, clock, times), times.fullDateTime(change.at));
    cost.show(formatCost(status?.estimated_cost), "Estimated by the conductor");
    tokens.show(formatTokens(status ?? {}));
    this.#waiting.show(isOver ? "" : waitingSentence(status?.waiting, clock, times));
  }
}

/** Labelled value. */
class Fact {
  #value = h("dd");
  #isOptional;

  /**
   * @param {string} label
   * @param {{isOptional?: boolean}} [options] an optional fact is hidden if it is unknown.
   */
  constructor(label, { isOptional = false } = {}) {
    this.#isOptional = isOptional;
    this.label = h("dt", {}, label);
    this.element = h("div", { hidden: isOptional }, this.label, this.#value);
  }

  /**
   * Show a value; "–" for none.
   *
   * @param {string} text
   * @param {string} [title]
   */
  show(text, title) {
    this.element.hidden = this.#isOptional && !text;
    setText(this.#value, text || "–");
    setAttribute(this.#value, "title", title || null);
  }
}

/** Sentence with an icon; hidden while there is none. */
class Notice {
  #text = h("span");

  /** @param {import("../model/status.js").Tone} tone */
  constructor(tone) {
    const icon = makeIcon(tone);
    this.element = h("p.notice", { "data-tone": tone, hidden: true }, icon, this.#text);
  }

  /** @param {string} sentence */
  show(sentence) {
    this.element.hidden = !sentence;
    setText(this.#text, plainText(sentence));
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
