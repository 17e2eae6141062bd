/** Head of the job view: status, progress and times, what the job waits for, and its error. */

import { plainText } from "../model/ansi.js";
import {
  formatCost,
  formatEta,
  formatTokens,
  sheetsAtWork,
  stalledSentence,
  waitingSentence,
} from "../model/job_facts.js";
import {
  formatLastChange,
  isQueued,
  jobDuration,
  lastChange,
  waitedTime,
} from "../model/job_times.js";
import { isTerminal, statusTone } from "../model/status.js";
import { formatDuration } from "../model/time_format.js";
import { makeCopyButton } from "./copy_button.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { ProgressBar } from "./progress_bar.js";
import { StatusBadge } from "./status_badge.js";

/** @typedef {import("../model/job.js").Job} Job */

/** Waits that only a person ends. */
const WAITS_FOR_PERSON = new Set(["person", "paused_at_chain"]);

export class JobHead {
  #page;
  #status = new StatusBadge();
  #progress = new ProgressBar();
  #facts = {
    duration: new Fact("Duration"),
    waited: new Fact("Waited", { isOptional: true }),
    eta: new Fact("Ends", { isOptional: true }),
    started: new Fact("Started"),
    atWork: new Fact("At work", { isOptional: true }),
    changed: new Fact("Changed", { isOptional: true }),
    cost: new Fact("Estimated cost", { isOptional: true }),
    tokens: new Fact("Tokens", { isOptional: true }),
  };
  #stale = new Notice("paused", "clock");
  #waiting = new Notice("waiting");
  #stalled = new Notice("paused", "clock");
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
    this.#resume = this.#makeResume();
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
        h("h1", { id: "job-heading", title: plainText(jobId) }, plainText(jobId)),
        this.#status.element,
        this.#progress.element,
        actions,
      ),
      h(
        "div.job-summary",
        {},
        h(
          "dl.facts",
          {},
          Object.entries(this.#facts).map(([name, { element }]) => {
            setAttribute(element, "data-fact", name);
            return element;
          }),
        ),
        this.#resume,
      ),
      this.#stale.element,
      this.#waiting.element,
      this.#stalled.element,
      this.#error,
    ];
  }

  #makeResume() {
    const copy = () => this.#command.textContent ?? "";
    return h(
      "div.resume",
      { hidden: true },
      h("span", {}, "To go on, run"),
      this.#command,
      makeCopyButton("the command", copy, this.#page.announcer),
    );
  }

  /**
   * Show a new status.
   *
   * @param {Job} job
   */
  showStatus({ status, isDeleted }) {
    if (!status) return;
    const isPast = isDeleted && !isTerminal(status.status);
    this.#status.show(status.status, { isPast });
    this.#progress.show(status, isPast ? "unknown" : statusTone(status.status));
    const command = isDeleted ? "" : plainText(status.resume_command ?? "");
    this.#resume.hidden = !command;
    setText(this.#command, command);
    setAttribute(this.#resume, "data-tone", statusTone(status.status));
    this.#stalled.show(isDeleted ? "" : stalledSentence(status.stalled));
  }

  /**
   * @param {string} sentence
   * @param {boolean} isInPanel true for the error of the sheet in the panel: it is told here only if
   *   the panel is in another tab.
   */
  showError(sentence, isInPanel) {
    this.#error.hidden = !sentence;
    setAttribute(this.#error, "data-in-panel", isInPanel);
    setText(this.#error, plainText(sentence));
  }

  /** @param {string} sentence that says why the page is not live; "" if it is. */
  showStale(sentence) {
    this.#stale.show(sentence);
  }

  /**
   * Update what changes with time.
   *
   * @param {Job} job
   * @param {import("../model/roster.js").RosterEntry | undefined} entry of the roster.
   */
  tick(job, entry) {
    const { status, isOver } = job;
    const known = status ?? entry;
    if (!known) return;
    const { clock, times } = this.#page;
    const { eta, atWork, cost, tokens } = this.#facts;
    // The roster may still tell of a wait that is over.
    const last_progress_at = latestProgress(entry, known);
    this.#showTimes(job, { ...entry, waiting: null, ...known, last_progress_at });
    const end = isOver ? null : status?.eta_at;
    eta.show(formatEta(end, clock, times), times.fullDateTime(Date.parse(end ?? "")));
    atWork.show(isOver ? "" : sheetsAtWork(job.sheets));
    cost.show(formatCost(status?.estimated_cost));
    tokens.show(formatTokens(status ?? {}));
    this.#showWaiting(job);
  }

  /**
   * Show how long the job has worked and waited, its start and its last change; of a queued job, only when
   * it was submitted.
   *
   * @param {Job} job
   * @param {import("../model/job_times.js").JobTimes} state
   */
  #showTimes(job, state) {
    const { clock, times } = this.#page;
    const { duration, waited, started, changed } = this.#facts;
    const until = job.knownUntil(clock);
    duration.show(formatDuration(jobDuration(state, until)));
    const wait = waitedTime(state, until);
    const title = "Time for which the job was paused, waited, or was over before it was resumed";
    waited.show(wait >= 1000 ? formatDuration(wait) : "", title);
    const change = lastChange(state);
    const isWaiting = isQueued(state);
    const age = isWaiting ? "" : formatLastChange(change, clock, times);
    changed.show(age, times.fullDateTime(change.at));
    const startedAt = isWaiting ? change.at : Date.parse(state.started_at ?? "");
    started.show(times.shortDateTime(startedAt), times.fullDateTime(startedAt));
    setText(started.label, isWaiting ? change.label : "Started");
    if (!isWaiting) setText(changed.label, change.label);
    duration.element.hidden = isWaiting;
  }

  /** @param {Job} job */
  #showWaiting({ status, isOver }) {
    const { clock, times, roster } = this.#page;
    const waiting = isOver ? null : status?.waiting;
    const code = waiting?.code ?? "";
    this.#waiting.tone = WAITS_FOR_PERSON.has(code) ? "paused" : "waiting";
    const queueReason = code === "queued" && clock.isLive && roster.conductors.queueReason();
    // The status says that a job is paused.
    const sentence = code === "paused" ? "" : waitingSentence(waiting, clock, times);
    this.#waiting.show(queueReason || sentence);
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
  #icon;

  /**
   * @param {import("../model/status.js").Tone} tone
   * @param {string} [icon] name of its icon; that of the tone if it is not given.
   */
  constructor(tone, icon) {
    this.#icon = icon;
    this.element = h("p.notice", { hidden: true }, makeIcon(icon ?? tone), this.#text);
    this.tone = tone;
  }

  /** @param {import("../model/status.js").Tone} tone */
  set tone(tone) {
    if (this.element.dataset.tone === tone) return;
    setAttribute(this.element, "data-tone", tone);
    this.element.firstChild?.replaceWith(makeIcon(this.#icon ?? tone));
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
