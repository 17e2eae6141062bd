/** View of several jobs' logs: `/logs?job=a&job=b`. */

import { plainText } from "../model/ansi.js";
import { addOffset, parseLoggedTime } from "../model/job_lines.js";
import { LineSelection } from "../model/line_selection.js";
import { highlightPattern, searchParameters } from "../model/log_query.js";
import { LogWindow } from "../model/log_window.js";
import { COLOUR_COUNT, MergedLog } from "../model/merged_log.js";
import { END, MergedPager, START } from "../model/merged_pager.js";
import { logsUrl } from "../model/page_urls.js";
import { getJson, jobPath, withQuery } from "../wire/api.js";
import { h } from "./dom.js";
import { JobsLogHead, showJobColumn } from "./jobs_log_head.js";
import { JobsLogStreams } from "./jobs_log_streams.js";
import { LogControls } from "./log_controls.js";
import { LogJumpBar } from "./log_jump_bar.js";
import { LogNotes, noLaterLineText } from "./log_notes.js";
import { countLines, LogSelector } from "./log_selector.js";
import { makeLogShortcuts } from "./log_shortcuts.js";
import { NewLinesButton } from "./new_lines_button.js";
import { VirtualLog } from "./virtual_log.js";

/** @typedef {import("../model/log_rows.js").LogJob} LogJob */
/** @typedef {import("../model/merged_pager.js").LogPlace} LogPlace */

/** Number of rows that the view keeps. */
const MAX_ROWS = 20_000;

export class JobsLogView {
  #page;
  /** @type {LogJob[]} */
  #jobs;
  #window = new LogWindow({ maxRows: MAX_ROWS });
  #log;
  #pager;
  #selection = new LineSelection(this.#window);
  #notes = new LogNotes();
  /** Sentences that stay while the reader selects lines. */
  #problems = new LogNotes();
  #rows;
  #selector;
  #head;
  #controls;
  #jumpBar;
  #toEnd = new NewLinesButton(() => this.#goToEnd());
  #streams;
  #address;
  #isLoading = true;
  #loadMessage = "";
  /** Number of lines received while the reader did not follow. */
  #newLines = 0;

  /**
   * @param {import("./page.js").Page} page
   * @param {import("../model/page_urls.js").LogsAddress} address
   */
  constructor(page, address) {
    this.#page = page;
    this.#address = address;
    this.#jobs = address.jobIds.map((id, index) => ({ id, colour: index % COLOUR_COUNT }));
    this.#log = new MergedLog(this.#window, this.#jobs);
    this.#pager = this.#makePager();
    this.#streams = this.#makeStreams();
    this.#rows = this.#makeRows();
    this.#controls = new LogControls(null, {
      onFollow: () => this.#toggleFollowing(),
      onCopy: () => this.#selector.copy(),
      onJump: () => this.#jumpBar.open(),
      onLevelChange: () => this.#filter({ level: this.#controls.level }),
      onLayoutChange: () => this.#updateLayout(),
    });
    this.#controls.level = address.level;
    this.#jumpBar = this.#makeJumpBar();
    this.#selector = this.#makeSelector();
    this.#head = new JobsLogHead({
      ...address,
      jobs: this.#jobs,
      levelSelect: this.#controls.levelSelect,
      onJobsChange: (ids) => this.#changeJobs(ids),
      onFilter: (text) => this.#filter({ text }),
    });
    showJobColumn(this.#rows.element, this.#jobs);
    this.element = this.#makeElement();
    this.shortcuts = this.#makeShortcuts();
  }

  /** Load and follow the logs; the element is in the page. */
  open() {
    this.#page.tab.setTitle("Logs");
    this.#rows.setPattern(highlightPattern(this.#address.text));
    this.#updateLayout();
    this.#open(placeAt(this.#address.time));
    this.onRosterChange();
  }

  close() {
    this.#pager.cancel();
    this.#streams.close();
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
    this.#streams.onRosterChange();
    this.#head.offer(this.#page.roster.all().map(({ job_id: id }) => id));
  }

  #makeJumpBar() {
    return new LogJumpBar({
      times: this.#page.times,
      getRows: () => [...this.#rows.visibleLines, ...this.#window.rows],
      onJump: (time) => this.#goToTime(time),
      onClose: () => this.#rows.element.focus(),
    });
  }

  #makeRows() {
    return new VirtualLog(this.#window, this.#selection, {
      times: this.#page.times,
      onNearStart: () => this.#pager.loadOlder(),
      onNearEnd: () => this.#pager.loadNewer(),
      onFollowChange: () => this.#onFollowChange(),
      onSelect: (serial, extend) => this.#selector.select(serial, { extend }),
    });
  }

  #makePager() {
    return new MergedPager({
      jobs: this.#jobs,
      log: this.#log,
      fetchPage: (job, query, signal) => {
        const path = jobPath(job.id, "logs", "lines");
        const onHeaders = (/** @type {Headers} */ headers) =>
          (this.#log.localOffset = headers.get("Local-Time-Offset") ?? this.#log.localOffset);
        return getJson(withQuery(path, { ...this.#query, ...query }), { signal, onHeaders });
      },
      // The server's time is not known before the first answer of the stream.
      now: () => this.#page.clock.now() || Date.now(),
      onOlder: ({ added }) => {
        this.#rows.onInsert({ prepended: added });
        if (!this.#log.isAtEnd) this.#leaveEnd();
        this.#update();
      },
      onNewer: (change) => this.#onMerged(change),
      onEndReached: () => this.#streams.follow(),
      onExpired: () => this.#open(this.#currentPlace),
      onMissing: (missing) => this.#streams.showMissing(missing),
      onMessage: (sentence) => {
        this.#loadMessage = sentence;
        this.#update();
      },
    });
  }

  #makeSelector() {
    return new LogSelector({
      window: this.#window,
      selection: this.#selection,
      rows: this.#rows,
      notes: this.#notes,
      isMainPart: true,
      announcer: this.#page.announcer,
      onSelect: () => this.#update(),
      onSelectAll: () => this.#update(),
      onCopied: (sentence) => {
        this.#page.announcer.answer(`${sentence}.`);
        this.#controls.showStatus(sentence);
      },
    });
  }

  #makeElement() {
    return h(
      "section.panel.log.logs-view",
      { "aria-labelledby": "logs-heading" },
      this.#head.element,
      this.#jumpBar.element,
      this.#problems.note,
      this.#notes.note,
      h("div.log-body", {}, this.#rows.element, this.#notes.message, this.#toEnd.element),
      this.#controls.element,
    );
  }

  #makeShortcuts() {
    return [
      { key: "/", label: "Filter the lines", run: () => this.#head.filter.focus() },
      ...makeLogShortcuts(
        {
          goToEnd: () => this.#goToEnd(),
          goToStart: () => this.#goToStart(),
          openJump: () => this.#jumpBar.open(),
          toggleFollowing: () => this.#toggleFollowing(),
        },
        { rows: this.#rows, controls: this.#controls, selector: this.#selector },
      ),
    ];
  }

  #makeStreams() {
    return new JobsLogStreams({
      page: this.#page,
      jobs: this.#jobs,
      log: this.#log,
      getFilter: () => this.#query,
      onMerge: () => this.#merge(),
      onReplaced: (job) => this.#onReplaced(job),
      onProblems: (sentences) => this.#problems.showNote(sentences),
    });
  }

  /** Parameters of the lines to show. */
  get #query() {
    const { text } = this.#address;
    return { level: this.#controls.level, ...(text ? searchParameters(text) : {}) };
  }

  /**
   * Place of what the reader sees: the end, or the time of the line in the middle.
   *
   * @returns {LogPlace}
   */
  get #currentPlace() {
    const lines = this.#rows.visibleLines;
    const at = lines[Math.floor(lines.length / 2)]?.at;
    if (this.#rows.isFollowing || at === undefined) return END;
    return { time: new Date(at).toISOString() };
  }

  /**
   * Show other jobs at the same place.
   *
   * @param {string[]} jobIds
   */
  #changeJobs(jobIds) {
    this.#page.go(logsUrl({ ...this.#address, jobIds, time: this.#currentPlace.time }));
    // The element that had the focus is gone.
    const add = this.#page.main.querySelector(".add-job button");
    if (add instanceof HTMLElement) add.focus({ preventScroll: true });
  }

  /** @param {{level?: string, text?: string}} choice of lines to show. */
  #filter(choice) {
    this.#setAddress(choice);
    this.#rows.setPattern(highlightPattern(this.#address.text));
    this.#open(END);
  }

  /** @param {{level?: string, text?: string, time?: string}} change */
  #setAddress(change) {
    this.#address = { ...this.#address, ...change };
    history.replaceState(null, "", logsUrl(this.#address));
  }

  /**
   * Open the logs at a place.
   *
   * @param {LogPlace} place
   */
  async #open(place) {
    this.#streams.end();
    this.#log.clear();
    this.#selection.clear();
    this.#newLines = 0;
    this.#rows.current = NaN;
    this.#rows.reset();
    this.#rows.setFollowing(place === END);
    this.#isLoading = true;
    this.#update();
    if (!(await this.#pager.open(place))) return;
    this.#isLoading = false;
    this.#rows.reset();
    this.#showPlace(place);
    if (this.#log.isAtEnd) this.#streams.follow();
    this.#update();
  }

  /** @param {LogPlace} place */
  #showPlace(place) {
    if (place === START) this.#rows.scrollToStart();
    if (!place.time) return;
    const { rows, firstSerial } = this.#window;
    const index = rows.findIndex(({ kind, at = 0 }) => kind === "line" && at >= this.#log.from);
    if (index >= 0) this.#rows.scrollToRow(firstSerial + index);
    else {
      this.#rows.setFollowing(true);
      const { level, text } = this.#address;
      this.#notes.showNote(noLaterLineText(Boolean(level || text)));
    }
  }

  #goToStart() {
    if (this.#window.before === null) this.#rows.scrollToStart();
    else this.#open(START);
  }

  /** Go to the ends of the logs, and follow them. */
  #goToEnd() {
    if (!this.#log.isAtEnd) this.#open(END);
    else this.#rows.setFollowing(true);
  }

  /** @param {string} time the server's parameter `time`. */
  #goToTime(time) {
    // One moment in all logs, whether their lines give a zone or not.
    const zoned = addOffset(time, this.#log.localOffset);
    this.#setAddress({ time: zoned });
    this.#notes.showNote("");
    this.#open(placeAt(zoned));
  }

  #toggleFollowing() {
    if (this.#rows.isFollowing) this.#rows.setFollowing(false);
    else this.#goToEnd();
  }

  #onFollowChange() {
    if (this.#rows.isFollowing) {
      this.#newLines = 0;
      if (this.#address.time) this.#setAddress({ time: "" });
    }
    this.#update();
  }

  /** @param {LogJob} job */
  #onReplaced({ id }) {
    this.#open(this.#currentPlace);
    this.#notes.showNote(`${plainText(id)}: the lines shown before are no longer in its log.`);
  }

  /** Follow no longer: the window is full, and newer lines are loaded when the reader comes there. */
  #leaveEnd() {
    this.#streams.end();
    this.#newLines = 0;
  }

  #merge() {
    const change = this.#log.flush(Date.now(), { keepRows: !this.#rows.isFollowing });
    if (change && !this.#rows.isFollowing) this.#newLines += change.added;
    if (!this.#log.isAtEnd) this.#leaveEnd();
    if (change) this.#onMerged(change);
    this.#update();
  }

  /** @param {import("../model/log_window.js").MergeChange} change */
  #onMerged(change) {
    if (change.insertedAt.length) {
      this.#selection.move(change.moved);
      this.#rows.onInsert(change);
    } else this.#rows.onAppend({ added: change.added, dropped: change.dropped.length });
    this.#update();
  }

  #updateLayout() {
    this.#controls.applyTo(this.#rows);
    this.#update();
  }

  #update() {
    const { isFollowing } = this.#rows;
    const { hasEntries, atEnd } = this.#window;
    this.#toEnd.update({ isFollowing, atEnd, count: this.#newLines });
    this.#controls.update({ isFollowing, hasEntries, status: this.#statusText() });
    const isEmpty = !this.#window.rows.length && !this.#isLoading;
    this.#notes.showMessage(this.#loadMessage || (isEmpty ? this.#emptyText() : ""));
  }

  #emptyText() {
    if (!this.#jobs.length) return "Add a job to see its log here.";
    if (this.#window.before !== null) return "Searching older lines …";
    return this.#address.text || this.#address.level ? "No line matches." : "No lines yet.";
  }

  #statusText() {
    const count = this.#selection.lines.length;
    if (count) return `${countLines(count)} selected`;
    return this.#rows.isFollowing ? "Following" : "Paused";
  }
}

/**
 * Return the place of a time in the logs: the end for an invalid time, or none.
 *
 * @param {string} time
 */
function placeAt(time) {
  return Number.isNaN(parseLoggedTime(time, "Z")) ? END : { time };
}
