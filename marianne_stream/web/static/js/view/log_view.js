/** Log of a job: follow, scroll back, search, select and link to lines. */

import { plainText } from "../model/ansi.js";
import { makeLineFragment, parseLineFragment } from "../model/line_links.js";
import { LineSelection } from "../model/line_selection.js";
import { LogPager } from "../model/log_pager.js";
import { LogWindow } from "../model/log_window.js";
import { getJson, jobPart, jobPath, withQuery } from "../wire/api.js";
import { h, setAttribute, setText } from "./dom.js";
import { LogControls } from "./log_controls.js";
import { LogSearchBar } from "./log_search_bar.js";
import { VirtualLog } from "./virtual_log.js";

/** @typedef {import("../wire/event_stream.js").StreamState} StreamState */

/** Number of lines with which the log opens. */
const TAIL_LINES = 1000;

/** Number of pages to load for the end of a linked range. */
const MAX_RANGE_PAGES = 10;

export class LogView {
  #page;
  #jobId;
  #window = new LogWindow();
  #selection = new LineSelection(this.#window);
  #pager;
  #rows;
  #search;
  #controls;
  #newLinesButton = h("button.new-lines-button", {
    type: "button",
    hidden: true,
    onclick: () => this.#goToEnd(),
  });
  #message = h("p.log-message", { hidden: true, role: "status" });
  #source = h("span.log-source", { hidden: true }, "Lines of this job in the conductor's log");
  /** @type {(() => void) | null} */
  #closeStream = null;
  #isClosed = false;
  /** Number of lines received while the reader did not follow. */
  #newLines = 0;
  /** @type {StreamState["phase"]} */
  #phase = "connecting";

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   */
  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#rows = new VirtualLog(this.#window, this.#selection, {
      times: page.times,
      onNearStart: () => this.#pager.loadOlder(),
      onNearEnd: () => this.#pager.loadNewer(),
      onFollowChange: () => this.#onFollowChange(),
      onSelect: (serial, extend) => this.#select(serial, { extend }),
    });
    /** @type {import("../model/log_pager.js").FetchPage} */
    const fetchPage = (query, signal) => this.#fetchPage(query, signal);
    this.#pager = new LogPager(this.#window, fetchPage, {
      onOlder: (change) => this.#rows.onPrepend(change),
      onNewer: (change) => this.#rows.onAppend(change),
      onReplaced: () => this.#onReplaced(),
      onNewest: (cursor) => this.#onNewest(cursor),
      onEndReached: (cursor) => this.#continueFrom(cursor),
      onMessage: (sentence) => this.#showMessage(sentence),
    });
    this.#search = new LogSearchBar({
      fetchPage,
      onPattern: (pattern) => this.#rows.setPattern(pattern),
      onMatch: ({ cursor }) => this.#goToLine(cursor),
    });
    this.#controls = new LogControls(jobId, {
      onFollow: () => this.#toggleFollowing(),
      onCopy: () => this.#copy(),
      onLevelChange: () => this.#onLevelChange(),
      onLayoutChange: () => this.#updateLayout(),
    });
    this.element = this.#makeElement();
    this.shortcuts = this.#makeShortcuts();
    this.#updateLayout();
  }

  /** Start to follow the log, or show the lines that the address names. */
  open() {
    if (!this.onFragmentChange()) this.#pager.loadNewest();
  }

  /** Follow the log anew: the job was resumed, or has been created. */
  resume() {
    const { lastCursor, atEnd } = this.#window;
    if (!lastCursor) this.#restart();
    else if (atEnd) this.#follow(lastCursor);
    else this.#followFromEnd();
  }

  close() {
    this.#isClosed = true;
    this.#pager.cancel();
    this.#closeStream?.();
    this.#search.close();
    this.#rows.close();
  }

  /**
   * Show the lines that the address names.
   *
   * @returns {boolean} false if it names none.
   */
  onFragmentChange() {
    const range = parseLineFragment(location.hash);
    if (!range) return false;
    this.#rows.setFollowing(false);
    this.#followFromEnd();
    this.#goToRange(range);
    return true;
  }

  get hasSelection() {
    return this.#selection.lines.length > 0;
  }

  onTimeZoneChange() {
    this.#rows.redraw();
  }

  #makeElement() {
    return h(
      "section.panel.log",
      { "aria-labelledby": "log-heading" },
      h(
        "div.bar",
        {},
        h("h2", { id: "log-heading" }, "Log"),
        this.#source,
        this.#search.element,
        this.#controls.levelSelect,
      ),
      h("div.log-body", {}, this.#rows.element, this.#message, this.#newLinesButton),
      this.#controls.element,
    );
  }

  /** @returns {import("./shortcuts.js").Shortcut[]} */
  #makeShortcuts() {
    const rows = this.#rows;
    return [
      { key: "j", label: "Next line", run: () => rows.step(1) },
      { key: "k", label: "Previous line", run: () => rows.step(-1) },
      {
        key: "Enter",
        label: "Open or close the fields of a JSON line",
        run: () => rows.toggleCurrent(),
      },
      { key: "x", label: "Select the line", run: () => this.#select(rows.current) },
      { key: "X", label: "Extend the selection to the line", run: () => this.#extendSelection() },
      { key: " ", label: "Page down; with Shift, page up", run: (event) => rows.page(event) },
      { key: "/", label: "Search the whole log", run: () => this.#search.input.focus() },
      { key: "n", label: "Next match", run: () => this.#search.step(-1) },
      { key: "N", label: "Previous match", run: () => this.#search.step(1) },
      { key: "f", label: "Follow new lines", run: () => this.#toggleFollowing() },
      { key: "g", label: "Start of the log", run: () => this.#goToStart() },
      { key: "G", label: "End of the log", run: () => this.#goToEnd() },
      { key: "w", label: "Wrap long lines", run: () => this.#controls.toggle("wrap") },
      { key: "s", label: "Show times", run: () => this.#controls.toggle("times") },
      { key: "c", label: "Copy the selected lines", run: () => this.#copy() },
      { key: "Escape", label: "Clear the selection", run: () => this.#select(NaN) },
    ];
  }

  /**
   * Subscribe to the log.
   *
   * @param {string} cursor position to follow from; "" for the newest lines.
   */
  #follow(cursor) {
    this.#closeStream?.();
    const query = { tail_lines: TAIL_LINES, level: this.#controls.level };
    this.#closeStream = this.#page.follow({
      part: jobPart("log", this.#jobId, query),
      cursor,
      onEvents: (events) => this.#applyEvents(events),
      onState: (state) => this.#onStreamState(state),
    });
  }

  /** Subscribe to the lines behind the present end of the log, to count them. */
  async #followFromEnd() {
    const closeBefore = this.#closeStream;
    const path = withQuery(jobPath(this.#jobId, "logs", "lines"), { limit: 1 });
    const { after } = await getJson(path).catch(() => ({ after: "" }));
    // The reader may have gone to the end meanwhile.
    if (!this.#isClosed && this.#closeStream === closeBefore) this.#follow(after ?? "");
  }

  /** Open the log anew, as for a new viewer. */
  #restart() {
    this.#pager.cancel();
    this.#window.clear();
    this.#newLines = 0;
    this.#select(NaN);
    this.#rows.current = NaN;
    this.#rows.reset();
    this.#rows.setFollowing(true);
    this.#pager.loadNewest();
  }

  #onLevelChange() {
    this.#restart();
    this.#search.restart();
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #applyEvents(events) {
    const { isFollowing } = this.#rows;
    const change = this.#window.applyEvents(events, { keepRows: !isFollowing });
    if (change.cleared) this.#pager.cancel();
    if (!isFollowing) this.#newLines += change.received;
    if (change.cleared) this.#rows.reset();
    else if (change.added || change.dropped) this.#rows.onAppend(change);
    this.#update();
  }

  /** @param {StreamState} state */
  #onStreamState({ phase, detail, status }) {
    this.#phase = phase;
    if (detail && status !== 401) this.#showMessage(detail);
    else if (phase === "live") this.#showMessage("");
    this.#update();
  }

  /** @param {string} sentence "" for no message. */
  #showMessage(sentence) {
    this.#message.hidden = !sentence;
    setText(this.#message, plainText(sentence));
    // A window too small to be scrolled loads more by drawing.
    if (sentence) this.#rows.draw();
  }

  #onReplaced() {
    this.#rows.setFollowing(false);
    this.#rows.reset();
    this.#update();
  }

  /** @param {string} cursor of the end of the log. */
  #continueFrom(cursor) {
    this.#newLines = 0;
    this.#follow(cursor);
    this.#update();
  }

  /** @param {string} cursor of the end of the log; "" if the newest lines could not be loaded. */
  #onNewest(cursor) {
    this.#rows.reset();
    this.#continueFrom(cursor);
  }

  async #goToStart() {
    if (this.#window.before === null || (await this.#pager.jumpToStart())) {
      this.#rows.scrollToStart();
    }
  }

  /** Go to the end of the log, and follow it. */
  #goToEnd() {
    if (this.#window.atEnd) this.#rows.setFollowing(true);
    else this.#restart();
    this.#newLines = 0;
    this.#update();
  }

  #toggleFollowing() {
    if (this.#rows.isFollowing) this.#rows.setFollowing(false);
    else this.#goToEnd();
  }

  #onFollowChange() {
    if (this.#rows.isFollowing) this.#newLines = 0;
    this.#update();
  }

  /**
   * Go to a line, loading it if necessary.
   *
   * @param {string} cursor
   * @returns {Promise<boolean>} false if the line cannot be loaded.
   */
  async #goToLine(cursor) {
    const isLoaded = this.#window.has(this.#window.findCursor(cursor));
    if (!isLoaded && !(await this.#pager.jumpTo(cursor))) return false;
    const serial = this.#window.findCursor(cursor);
    const isFound = this.#window.has(serial);
    if (isFound) this.#rows.scrollToRow(serial);
    this.#update();
    return isFound;
  }

  /** @param {import("../model/line_links.js").LineRange} range */
  async #goToRange({ from, to }) {
    if (!(await this.#goToLine(from))) {
      if (!this.#window.rows.length) this.#restart();
      return;
    }
    const hasEnd = () => this.#window.has(this.#window.findCursor(to));
    for (let page = 0; !hasEnd() && page < MAX_RANGE_PAGES; page += 1) {
      if (!(await this.#pager.loadNewer())) break;
    }
    this.#selection.select(this.#window.findCursor(from));
    if (hasEnd()) this.#selection.select(this.#window.findCursor(to), { extend: true });
    else this.#showMessage("The end of this range is no longer in the log.");
    this.#rows.draw();
    this.#update();
  }

  /** @type {import("../model/log_pager.js").FetchPage} */
  #fetchPage(query, signal) {
    const path = jobPath(this.#jobId, "logs", "lines");
    return getJson(withQuery(path, { level: this.#controls.level, ...query }), { signal });
  }

  /**
   * Select a line, or extend the selection to it; the address then names the selection.
   *
   * @param {number} serial NaN to select nothing.
   * @param {{extend?: boolean}} [options]
   */
  #select(serial, { extend = false } = {}) {
    if (!this.#window.has(serial)) this.#selection.clear();
    else {
      this.#selection.select(serial, { extend });
      this.#rows.current = serial;
      this.#rows.setFollowing(false);
    }
    this.#rows.draw();
    const { lines } = this.#selection;
    const [first, last] = [lines[0], lines.at(-1)];
    const fragment = first && last ? makeLineFragment({ from: first.cursor, to: last.cursor }) : "";
    history.replaceState(null, "", location.pathname + location.search + fragment);
    this.#update();
  }

  #extendSelection() {
    const { current } = this.#rows;
    if (this.#window.has(current)) this.#select(current, { extend: true });
  }

  async #copy() {
    const selected = this.#selection.lines;
    const lines = selected.length ? selected : this.#rows.visibleLines;
    const count = `${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
    try {
      // Without escape sequences: a terminal would obey them when the text is pasted.
      await navigator.clipboard.writeText(lines.map(({ text }) => `${plainText(text)}\n`).join(""));
      this.#page.announcer.announce(`${count} copied.`);
      this.#controls.showStatus(`${count} copied`);
    } catch {
      this.#showMessage("The browser did not allow access to the clipboard.");
    }
  }

  #updateLayout() {
    const { wrap, times } = this.#controls;
    setAttribute(this.#rows.element, "data-wrap", wrap ? "on" : "off");
    setAttribute(this.#rows.element, "data-times", times ? "on" : "off");
    this.#rows.setWrap(wrap);
    this.#update();
  }

  #update() {
    const { isFollowing } = this.#rows;
    const { atEnd, partial, isFromConductor } = this.#window;
    this.#rows.showPartial(atEnd ? partial : null);
    this.#source.hidden = !isFromConductor;
    const count = this.#newLines;
    this.#newLinesButton.hidden = isFollowing || (atEnd && count === 0);
    const newLines = count === 1 ? "1 new line" : `${count.toLocaleString("en")} new lines`;
    setText(this.#newLinesButton, count ? `↓ ${newLines}` : "↓ Go to the end");
    this.#controls.update({ isFollowing, status: this.#statusText() });
  }

  #statusText() {
    if (!this.#window.rows.length && !this.#window.partial) {
      return this.#phase === "live" || this.#phase === "ended" ? "No lines yet" : "";
    }
    if (this.#window.isMissing) return "No log";
    const count = this.#selection.lines.length;
    if (count) return `${count} ${count === 1 ? "line" : "lines"} selected`;
    if (this.#phase === "ended") return "End of log";
    return this.#rows.isFollowing ? "Following" : "Paused";
  }
}
