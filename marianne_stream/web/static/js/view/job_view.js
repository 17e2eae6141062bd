/** One job: `/jobs/{job_id}`. */

import { plain } from "../model/ansi.js";
import { Job } from "../model/job.js";
import { isTerminal, lookOf } from "../model/status.js";
import { changeText, durationOf, lastChangeOf } from "../model/run_times.js";
import { jobPath, withQuery } from "../wire/api.js";
import { attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { LogView } from "./log_view.js";
import { progressBar, showProgress } from "./progress_bar.js";
import { ProgressLine } from "./progress_line.js";
import { SheetGrid } from "./sheet_grid.js";
import { showStatus, statusMark } from "./status_mark.js";
import { TimelineView } from "./timeline_view.js";

/** How many events of the past are asked for. */
const PAST_EVENTS = 200;

const FACTS = { started: "Started", duration: "Duration", sheet: "Now", changed: "Changed" };

/** The view of a job. */
export class JobView {
  #page;
  #jobId;
  #job = new Job();
  #status = statusMark();
  #progress = progressBar();
  #error = h("pre.job-error", { hidden: true, tabindex: 0, role: "alert" });
  #facts;
  #bell;
  #sheets = new SheetGrid();
  #line;
  #timeline;
  #log;
  #statusEnd = null;
  #eventsEnd = null;
  /** How the status stream is over: "ended" or "failed"; "" while it is not. */
  #over = "";
  #timer;

  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#line = new ProgressLine(page);
    this.#timeline = new TimelineView(page.times, () => this.#followEvents());
    this.#log = new LogView(page, jobId);
    this.#build();
    this.keys = this.#log.keys;
  }

  opened() {
    this.#page.tab.title(plain(this.#jobId));
    this.#followStatus();
    this.#followEvents();
    this.#log.opened();
    this.#timer = setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  close() {
    clearInterval(this.#timer);
    this.#statusEnd?.();
    this.#eventsEnd?.();
    this.#log.close();
  }

  /** All times are in another zone. */
  timesChanged() {
    this.#tick();
    this.#timeline.timesChanged();
    this.#log.timesChanged();
  }

  /** The address asks for other lines of the log. */
  hashChanged() {
    this.#log.hashChanged();
  }

  /** A job that runs again after its end, or that has come at last, is followed anew. */
  rosterChanged() {
    const entry = this.#page.roster.get(this.#jobId);
    const over = this.#over === "failed" || (this.#over === "ended" && !isTerminal(entry?.status));
    if (entry && over) {
      this.#followStatus();
      this.#log.again();
    }
    const { roster, missing } = this.#page;
    if (!roster.known && !this.#job.status && missing.length) this.#say(missing.join(" "));
    this.#tick();
  }

  #build() {
    this.#bell = h(
      "button.quiet",
      { type: "button", onclick: () => this.#toggleBell() },
      glyph("bell"),
      h("span"),
    );
    this.#facts = Object.fromEntries(Object.keys(FACTS).map((name) => [name, h("dd")]));
    const facts = Object.entries(FACTS).map(([name, label]) =>
      h("div", {}, h("dt", {}, label), this.#facts[name]),
    );
    this.element = h(
      "article.job-view",
      { "aria-labelledby": "job-heading" },
      h(
        "header.job-header",
        {},
        h(
          "a.back",
          { href: "/", "data-page": true, title: "All jobs" },
          glyph("back"),
          h("span.unseen", {}, "All jobs"),
        ),
        h("h1", { id: "job-heading", tabindex: -1 }, plain(this.#jobId)),
        this.#status,
        this.#progress,
        h("dl.facts", {}, facts),
        this.#bell,
      ),
      this.#error,
      h(
        "div.job-parts",
        {},
        h("div.side", {}, this.#sheets.element, this.#line.element, this.#timeline.element),
        this.#log.element,
      ),
    );
    this.#showBell();
  }

  #followStatus() {
    this.#over = "";
    this.#statusEnd?.();
    this.#statusEnd = this.#page.follow({
      path: jobPath(this.#jobId, "stream"),
      kind: "status",
      onEvents: (events) => this.#take(events),
      onState: (state) => this.#stateChanged(state),
    });
  }

  #followEvents() {
    this.#eventsEnd?.();
    const wanted = { job_id: this.#jobId, event: this.#timeline.prefixes, limit: PAST_EVENTS };
    this.#eventsEnd = this.#page.follow({
      path: withQuery("/api/events/stream", wanted),
      kind: "events",
      onEvents: (events) => this.#timeline.take(events),
    });
  }

  #stateChanged({ phase, status, detail }) {
    if (phase === "ended" || phase === "failed") this.#over = phase;
    if (phase === "failed" && status !== 401) this.#say(detail);
  }

  #take(events) {
    this.#job.take(events);
    const { status, deleted, fault } = this.#job;
    if (status) this.#showStatus(status);
    const gone = deleted ? "This job is gone: the conductor does not know it any more." : "";
    this.#say(gone || fault || status?.error_message);
  }

  #showStatus(status) {
    attribute(this.element, "data-look", lookOf(status.status));
    showStatus(this.#status, status.status);
    showProgress(this.#progress, status, lookOf(status.status));
    this.#sheets.show(this.#job);
    this.#tick();
  }

  #say(sentence) {
    this.#error.hidden = !sentence;
    setText(this.#error, plain(sentence ?? ""));
  }

  #tick() {
    const entry = this.#page.roster.get(this.#jobId);
    const status = this.#job.status ?? entry;
    if (!status) return;
    const known = { ...entry, ...status, last_progress_at: latest(entry, status) };
    const [started, ended] = [known.started_at, known.completed_at].map((text) =>
      Date.parse(text ?? ""),
    );
    const { clock, times } = this.#page;
    setText(this.#facts.started, times.moment(started) || "–");
    attribute(this.#facts.started, "title", times.whole(started) || null);
    setText(this.#facts.duration, durationOf(known, clock) || "–");
    const sheet = this.#job.status?.current_sheet;
    setText(this.#facts.sheet, sheet && !isTerminal(status.status) ? `sheet ${sheet}` : "–");
    const change = lastChangeOf(known);
    setText(this.#facts.changed.previousSibling, change.label);
    setText(this.#facts.changed, changeText(change, clock, times) || "–");
    attribute(this.#facts.changed, "title", times.whole(change.at) || null);
    this.#line.show(this.#job.progress, {
      startedAt: started,
      endedAt: isTerminal(status.status) ? ended : NaN,
    });
  }

  async #toggleBell() {
    const on = await this.#page.notifier.toggle(this.#jobId);
    this.#page.announcer.say(on ? "You will be notified." : "No notification.");
    this.#showBell();
  }

  #showBell() {
    const on = this.#page.notifier.has(this.#jobId);
    attribute(this.#bell, "aria-pressed", String(on));
    setText(this.#bell.querySelector("span"), on ? "Notifying" : "Notify");
    this.#bell.title = "A notification when this job is over";
  }
}

/** The later of what roster and status say: neither is sent for this alone. */
function latest(...told) {
  return told
    .map((one) => one?.last_progress_at)
    .filter(Boolean)
    .sort()
    .at(-1);
}
