/** View of several jobs' logs: `/logs?job=a&job=b`. */

import { plainText } from "../model/ansi.js";
import { LineSelection } from "../model/line_selection.js";
import { highlightPattern, searchParameters } from "../model/log_query.js";
import { LogWindow } from "../model/log_window.js";
import { COLOUR_COUNT, MergedLog } from "../model/merged_log.js";
import { jobUrl, logsUrl, MAX_LOG_JOBS } from "../model/page_urls.js";
import { isTerminal } from "../model/status.js";
import { getJson, jobPath, withQuery } from "../wire/api.js";
import { h, setAttribute, setChildren } from "./dom.js";
import { makeIcon } from "./icons.js";
import { LogControls } from "./log_controls.js";
import { LogNotes } from "./log_notes.js";
import { makeJobName } from "./log_row.js";
import { LogSelector } from "./log_selector.js";
import { LogStream } from "./log_stream.js";
import { VirtualLog } from "./virtual_log.js";

/** @typedef {import("../model/log_rows.js").LogJob} LogJob */

/** Number of lines of each job with which the view opens. */
const TAIL_LINES = 300;

/** Number of rows that the view keeps. */
const MAX_ROWS = 20_000;

/** Time for which lines wait for those of other jobs. */
const MERGE_DELAY_MS = 250;

export class JobsLogView {
  #page;
  /** @type {LogJob[]} */
  #jobs;
  #window = new LogWindow({ maxRows: MAX_ROWS });
  #log = new MergedLog(this.#window);
  #selection = new LineSelection(this.#window);
  #notes = new LogNotes();
  #rows;
  #selector;
  #controls;
  /** @type {Map<LogJob, LogStream>} */
  #streams;
  /** @type {Set<LogJob>} jobs that have not ended. */
  #active = new Set();
  /** @type {Map<LogJob, string>} sentence of a job whose log cannot be followed. */
  #errors = new Map();
  /** Ends the requests of the first lines. */
  #abort = new AbortController();
  #isLoading = true;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #mergeTimer = null;
  #addSelect = h("select", {
    "aria-label": "Add the log of a job",
    onchange: () => this.#go([...this.#ids, this.#addSelect.value]),
  });
  #filter = h("input", {
    type: "search",
    placeholder: "Only lines with …",
    "aria-label": "Only lines with this text",
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onFilterKey(event),
    oninput: () => this.#filter.value || this.#restart(),
  });

  /**
   * @param {import("./page.js").Page} page
   * @param {string[]} jobIds
   */
  constructor(page, jobIds) {
    this.#page = page;
    this.#jobs = jobIds.map((id, index) => ({ id, colour: index % COLOUR_COUNT }));
    this.#streams = new Map(this.#jobs.map((job) => [job, this.#makeStream(job)]));
    this.#rows = new VirtualLog(this.#window, this.#selection, {
      times: page.times,
      onNearStart: () => {},
      onNearEnd: () => {},
      onFollowChange: () => this.#update(),
      onSelect: (serial, extend) => this.#selector.select(serial, { extend }),
    });
    this.#controls = new LogControls(null, {
      onFollow: () => this.#rows.setFollowing(!this.#rows.isFollowing),
      onCopy: () => this.#selector.copy(),
      onLevelChange: () => this.#restart(),
      onLayoutChange: () => this.#updateLayout(),
    });
    this.#selector = new LogSelector({
      window: this.#window,
      selection: this.#selection,
      rows: this.#rows,
      notes: this.#notes,
      onSelect: () => this.#update(),
      onSelectAll: () => this.#update(),
      onCopied: (sentence) => {
        page.announcer.announce(`${sentence}.`);
        this.#controls.showStatus(sentence);
      },
    });
    this.element = this.#makeElement();
    this.shortcuts = this.#makeShortcuts();
  }

  /** Load and follow the logs; the element is in the page. */
  open() {
    this.#page.tab.setTitle("Logs");
    this.#updateLayout();
    this.#restart();
    this.onRosterChange();
  }

  close() {
    clearTimeout(this.#mergeTimer ?? undefined);
    this.#abort.abort();
    for (const stream of this.#streams.values()) stream.close();
    this.#selector.close();
    this.#rows.close();
  }

  onTimeZoneChange() {
    this.#rows.redraw();
  }

  onFragmentChange() {}

  /** Move the focus to the log. */
  focusLog() {
    this.#rows.element.focus();
  }

  /** Follow the logs of jobs that run again, and offer the jobs that the view does not show. */
  onRosterChange() {
    for (const job of this.#jobs) this.#followIfActive(job);
    this.#updateChoice();
  }

  /** @param {LogJob} job */
  #followIfActive(job) {
    const entry = this.#page.roster.get(job.id);
    if (!entry || isTerminal(entry.status)) {
      this.#active.delete(job);
      return;
    }
    const stream = this.#streams.get(job);
    if (!this.#active.has(job) && stream?.hasEnded) stream.resume();
    this.#active.add(job);
  }

  #updateChoice() {
    const shown = new Set(this.#ids);
    const others = this.#page.roster.all().filter(({ job_id: id }) => !shown.has(id) && jobUrl(id));
    const ids = others.map(({ job_id: id }) => id).sort((a, b) => a.localeCompare(b));
    const known = [...this.#addSelect.options].map(({ value }) => value);
    this.#addSelect.hidden = !ids.length || this.#jobs.length >= MAX_LOG_JOBS;
    if (["", ...ids].join("\n") === known.join("\n")) return;
    const first = h("option", { value: "" }, "Add a job …");
    setChildren(this.#addSelect, [
      first,
      ...ids.map((id) => h("option", { value: id }, plainText(id))),
    ]);
  }

  get #ids() {
    return this.#jobs.map(({ id }) => id);
  }

  #makeElement() {
    const chips = this.#jobs.map((job) =>
      h(
        "span.log-job",
        {},
        h("a", { href: jobUrl(job.id), "data-page": true }, makeJobName(job)),
        h(
          "button.quiet.icon-only",
          {
            type: "button",
            title: `Remove ${plainText(job.id)}`,
            "aria-label": `Remove ${plainText(job.id)}`,
            onclick: () => this.#go(this.#ids.filter((id) => id !== job.id)),
          },
          makeIcon("close"),
        ),
      ),
    );
    return h(
      "section.panel.log.logs-view",
      { "aria-labelledby": "logs-heading" },
      h(
        "div.bar",
        {},
        h("h1", { id: "logs-heading" }, "Logs"),
        chips,
        this.#addSelect,
        h("label.search-field", {}, makeIcon("search"), this.#filter),
        this.#controls.levelSelect,
      ),
      this.#notes.note,
      h("div.log-body", {}, this.#rows.element, this.#notes.message),
      this.#controls.element,
    );
  }

  /** @returns {import("./shortcuts.js").Shortcut[]} */
  #makeShortcuts() {
    const rows = this.#rows;
    return [
      { key: "j", label: "Next line", run: () => rows.step(1) },
      { key: "k", label: "Previous line", run: () => rows.step(-1) },
      { key: "Enter", label: "Open or close a line", run: () => rows.toggleCurrent() },
      { key: "x", label: "Select the line", run: () => this.#selector.select(rows.current) },
      { key: "X", label: "Extend the selection", run: () => this.#selector.extend() },
      { key: " ", label: "Page down; with Shift, page up", run: (event) => rows.page(event) },
      { key: "/", label: "Filter the lines", run: () => this.#filter.focus() },
      { key: "f", label: "Follow new lines", run: () => rows.setFollowing(!rows.isFollowing) },
      { key: "g", label: "Oldest line", run: () => rows.scrollToStart() },
      { key: "G", label: "Newest line", run: () => rows.setFollowing(true) },
      { key: "e", label: "Fold or open all entries", run: () => this.#controls.toggle("fold") },
      { key: "w", label: "Wrap long lines", run: () => this.#controls.toggle("wrap") },
      { key: "s", label: "Show times", run: () => this.#controls.toggle("times") },
      { key: "c", label: "Copy the selected lines", run: () => this.#selector.copy() },
      { key: "Escape", label: "Clear the selection", run: () => this.#selector.select(NaN) },
    ];
  }

  /** @param {string[]} jobIds */
  #go(jobIds) {
    this.#page.go(logsUrl(jobIds));
  }

  /** @param {KeyboardEvent} event */
  #onFilterKey(event) {
    if (event.key === "Enter") this.#restart();
    else if (event.key !== "Escape") return;
    else {
      this.#filter.value = "";
      this.#filter.blur();
      this.#restart();
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {LogJob} job */
  #makeStream(job) {
    return new LogStream({
      page: this.#page,
      jobId: job.id,
      getFilter: () => this.#query,
      onEvents: (events) => {
        this.#log.addEvents(job, events);
        this.#scheduleMerge();
      },
      onState: (state) => this.#onStreamState(job, state),
    });
  }

  /** Parameters of the lines to show. */
  get #query() {
    const text = this.#filter.value;
    return { level: this.#controls.level, ...(text ? searchParameters(text) : {}) };
  }

  /** Load the newest lines of all logs anew, and follow. */
  async #restart() {
    this.#abort.abort();
    const { signal } = (this.#abort = new AbortController());
    for (const stream of this.#streams.values()) stream.end();
    this.#errors.clear();
    this.#notes.showNote("");
    this.#log.clear();
    this.#selection.clear();
    this.#rows.setPattern(highlightPattern(this.#filter.value));
    this.#rows.reset();
    this.#rows.setFollowing(true);
    this.#isLoading = true;
    this.#update();
    await Promise.all(this.#jobs.map((job) => this.#openLog(job, signal)));
    if (signal.aborted) return;
    this.#isLoading = false;
    this.#merge();
    this.#update();
  }

  /**
   * Load the newest lines of a log, and follow it from there.
   *
   * @param {LogJob} job
   * @param {AbortSignal} signal
   */
  async #openLog(job, signal) {
    const query = { limit: TAIL_LINES, ...this.#query };
    /** @type {import("../model/log_rows.js").LogPage | null} */
    let page = null;
    try {
      page = await getJson(withQuery(jobPath(job.id, "logs", "lines"), query), { signal });
    } catch {
      // The stream waits for a log that does not exist yet, and tells why there is none.
    }
    if (signal.aborted) return;
    // The server's time is not known before the first answer of the stream.
    const receivedAt = this.#page.clock.now() || Date.now();
    if (page) this.#log.addPage(job, page, receivedAt);
    this.#scheduleMerge();
    this.#streams.get(job)?.follow(page?.after ?? "");
  }

  /**
   * @param {LogJob} job
   * @param {import("../wire/event_stream.js").StreamState} state
   */
  #onStreamState(job, { detail, status }) {
    const isError = Boolean(detail) && status !== 401;
    const sentence = isError ? `${plainText(job.id)}: ${plainText(detail ?? "")}` : "";
    // A note that the reader has closed does not come back without a change.
    if (sentence === (this.#errors.get(job) ?? "")) return;
    this.#errors.set(job, sentence);
    this.#notes.showNote([...this.#errors.values()].filter(Boolean).join(" "));
  }

  #scheduleMerge() {
    if (this.#log.hasPending) this.#mergeTimer ??= setTimeout(() => this.#merge(), MERGE_DELAY_MS);
  }

  #merge() {
    clearTimeout(this.#mergeTimer ?? undefined);
    this.#mergeTimer = null;
    if (!this.#log.hasPending) return;
    const change = this.#log.flush();
    if (change.isInOrder) this.#rows.onAppend(change);
    else this.#rows.reset();
    this.#update();
  }

  #updateLayout() {
    const { wrap, times, fold } = this.#controls;
    setAttribute(this.#rows.element, "data-wrap", wrap ? "on" : "off");
    setAttribute(this.#rows.element, "data-times", times ? "on" : "off");
    setAttribute(this.#rows.element, "data-jobs", true);
    this.#rows.setLayout({ wrap, fold });
    this.#update();
  }

  #update() {
    const { isFollowing } = this.#rows;
    const count = this.#selection.lines.length;
    const selected = `${count.toLocaleString("en")} ${count === 1 ? "line" : "lines"} selected`;
    const state = isFollowing ? "Following" : "Paused";
    const status = count ? selected : state;
    const { hasEntries } = this.#window;
    this.#controls.update({ isFollowing, hasEntries, status });
    const isEmpty = !this.#window.rows.length;
    const none = this.#jobs.length ? "No lines yet." : "Add a job to see its log here.";
    this.#notes.showMessage(isEmpty && !this.#isLoading ? none : "");
  }
}
