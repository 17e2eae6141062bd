/** Log of a job, or text of a file: follow, scroll back, search, filter, select and link to lines. */

import { LineSelection } from "../model/line_selection.js";
import { LogPager } from "../model/log_pager.js";
import { LogWindow } from "../model/log_window.js";
import { getJson, withQuery } from "../wire/api.js";
import { h, setAttribute } from "./dom.js";
import { LogControls, makeLogPanel } from "./log_controls.js";
import { LogJumpBar } from "./log_jump_bar.js";
import { LogJumps } from "./log_jumps.js";
import { LogNotes, logStatusText } from "./log_notes.js";
import { LogSearchBar } from "./log_search_bar.js";
import { LogSelector } from "./log_selector.js";
import { makeLogShortcuts } from "./log_shortcuts.js";
import { LogStream } from "./log_stream.js";
import { NewLinesButton } from "./new_lines_button.js";
import { VirtualLog } from "./virtual_log.js";

/** @typedef {import("../wire/event_stream.js").StreamState} StreamState */

export class LogView {
  #page;
  #source;
  #window = new LogWindow();
  #selection = new LineSelection(this.#window);
  #pager;
  #rows;
  #search;
  #controls;
  #selector;
  #jumps;
  #jumpBar;
  /** @type {import("./log_search_bar.js").LogFilter | null} matches to show only. */
  #filter = null;
  #toEnd = new NewLinesButton(() => this.#goToEnd());
  #notes = new LogNotes();
  #sourceNote = h("span.log-source", { hidden: true }, "Lines of this job in the conductor's log");
  #stream;
  /** Number of lines received while the reader did not follow. */
  #newLines = 0;
  /** @type {StreamState["phase"]} */
  #phase = "connecting";

  /**
   * @param {import("./page.js").Page} page
   * @param {import("./log_source.js").LogSource} source
   */
  constructor(page, source) {
    this.#page = page;
    this.#source = source;
    this.#rows = this.#makeRows();
    this.#rows.element.id = source.id;
    this.#pager = this.#makePager();
    this.#search = this.#makeSearch();
    this.#stream = this.#makeStream();
    this.#controls = new LogControls(source.links, {
      onFollow: () => this.#toggleFollowing(),
      onCopy: () => this.#selector.copy(),
      onJump: () => this.#jumpBar.open(),
      onLevelChange: () => this.#onLevelChange(),
      onLayoutChange: () => this.#updateLayout(),
    });
    this.#jumpBar = new LogJumpBar({
      times: page.times,
      getRows: () => [...this.#rows.visibleLines, ...this.#window.rows],
      onJump: (time) => this.#jumps.toTime(time),
      onClose: () => this.#rows.element.focus(),
    });
    const parts = {
      window: this.#window,
      selection: this.#selection,
      rows: this.#rows,
      notes: this.#notes,
      pager: this.#pager,
    };
    this.#jumps = new LogJumps({
      ...parts,
      source,
      onJump: () => this.#update(),
      isCut: () => Boolean(this.#controls.level || this.#filter),
      onNothing: () => this.#restart(),
    });
    this.#selector = this.#makeSelector(parts);
    this.element = this.#makeElement();
    this.shortcuts = this.#makeShortcuts();
    this.#updateLayout();
  }

  /**
   * Start to follow the log, or show the lines that the address names.
   *
   * @returns {boolean} true if the address names lines.
   */
  open() {
    const isLinked = this.onFragmentChange();
    if (!isLinked) this.#openNewest();
    return isLinked;
  }

  /** Follow no more until `resume`. */
  pause() {
    this.#stream.isPaused = true;
    this.#stream.end();
  }

  /** Follow the log anew: the job was resumed, or has been created. */
  resume() {
    this.#stream.isPaused = false;
    const { lastCursor, atEnd } = this.#window;
    if (!lastCursor) this.#restart();
    else if (atEnd) this.#stream.follow(lastCursor);
    else this.#stream.followFromEnd();
  }

  close() {
    this.#stream.close();
    this.#pager.cancel();
    this.#search.close();
    this.#selector.close();
    this.#rows.close();
  }

  /**
   * Show the lines that the address names.
   *
   * @returns {boolean} false if it names none.
   */
  onFragmentChange() {
    const { range } = this.#jumps;
    if (!range) return false;
    const isCut = Boolean(this.#controls.level || this.#filter);
    if (isCut) {
      const { hash } = location;
      this.#controls.levelSelect.value = "";
      this.#search.reset();
      this.#stream.end();
      this.#restart();
      history.replaceState(null, "", hash);
    }
    this.#rows.setFollowing(false);
    this.#stream.followFromEnd();
    this.#jumps.toRange(range, isCut ? "All lines are shown, for the link." : "");
    return true;
  }

  /** @param {string} time of the first line to go to, or a later one; ISO 8601. */
  goToTime(time) {
    this.#jumps.toTime(time);
    this.#rows.element.focus();
  }

  get hasSelection() {
    return this.#selection.lines.length > 0;
  }

  /** Let the address name the selected lines. */
  nameSelection = () => this.#jumps.update();

  onTimeZoneChange() {
    this.#rows.redraw();
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
    return new LogPager(this.#window, (query, signal) => this.#fetchRows(query, signal), {
      onOlder: ({ added }) => this.#rows.onInsert({ prepended: added }),
      onNewer: (change) => this.#rows.onAppend(change),
      onReplaced: () => this.#onReplaced(),
      onNewest: (cursor) => this.#onNewest(cursor),
      onEndReached: (cursor) => this.#continueFrom(cursor),
      onEndLost: () => (this.#rows.isFollowing ? this.#restart() : (this.#window.atEnd = false)),
      onMessage: (sentence) => this.#showMessage(sentence),
    });
  }

  #makeSearch() {
    return new LogSearchBar({
      name: this.#source.name,
      fetchPage: (query, signal) => this.#fetchPage(query, signal),
      onPattern: (pattern) => this.#rows.setPattern(pattern),
      onMatch: (cursor) => this.#jumps.toLine(cursor),
      onFilter: (filter) => this.#setFilter(filter),
      onAnnounce: (sentence) => this.#page.announcer.announce(sentence),
    });
  }

  #makeStream() {
    return new LogStream({
      source: this.#source,
      getFilter: () => ({ level: this.#controls.level, ...this.#filter, context: null }),
      onEvents: (events) => this.#applyEvents(events),
      onState: (state) => this.#onStreamState(state),
    });
  }

  /** @param {import("./log_selector.js").LogParts} parts */
  #makeSelector(parts) {
    return new LogSelector({
      ...parts,
      announcer: this.#page.announcer,
      onSelect: () => {
        this.#jumps.update();
        this.#update();
      },
      onSelectAll: () => this.#update(),
      onCopied: (sentence) => {
        this.#page.announcer.answer(`${sentence}.`);
        this.#controls.showStatus(sentence);
      },
    });
  }

  #makeShortcuts() {
    return makeLogShortcuts(
      {
        goToEnd: () => this.#goToEnd(),
        goToStart: () => this.#goToStart(),
        openJump: () => this.#jumpBar.open(),
        toggleFollowing: () => this.#toggleFollowing(),
      },
      {
        rows: this.#rows,
        search: this.#search,
        controls: this.#controls,
        selector: this.#selector,
      },
    );
  }

  #makeElement() {
    return makeLogPanel(this.#source.name, {
      bar: [this.#sourceNote, this.#search.element, this.#controls.levelSelect],
      notes: [this.#jumpBar.element, this.#notes.note],
      body: [this.#rows.element, this.#notes.message, this.#toEnd.element],
      foot: this.#controls.element,
    });
  }

  /** Open the log anew, as for a new viewer. */
  #restart() {
    this.#pager.cancel();
    this.#window.clear();
    this.#newLines = 0;
    this.#selector.select(NaN);
    this.#rows.current = NaN;
    this.#rows.reset();
    this.#rows.setFollowing(true);
    this.#openNewest();
  }

  /** Show the newest lines, and follow. */
  async #openNewest() {
    const isReplaced = !(await this.#pager.loadNewest());
    // The reader has jumped to another place meanwhile: new lines are counted.
    if (isReplaced && !this.#stream.isOpen) this.#stream.followFromEnd();
  }

  #onLevelChange() {
    this.#stream.end();
    this.#restart();
    this.#search.restart();
  }

  /** @param {import("./log_search_bar.js").LogFilter | null} filter */
  #setFilter(filter) {
    const row = this.#window.getRow(this.#rows.current);
    this.#filter = filter;
    setAttribute(this.#rows.element, "data-filter", filter ? "on" : null);
    this.#rows.setContext(Boolean(filter?.context));
    this.#stream.end();
    this.#restart();
    // All lines again: stay at the match.
    if (!filter && row?.cursor) this.#jumps.toLine(row.cursor);
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #applyEvents(events) {
    this.#search.onNewLines();
    // Matches with lines around them, and the marker between two files, are loaded in a moment.
    const paged = this.#filter?.context ? ["log", "log_rotated"] : [];
    const shown = events.filter(({ event }) => !paged.includes(event));
    const loadedLines = paged.length ? events.filter(({ event }) => event === "log").length : 0;
    const change = this.#window.applyEvents(shown, { keepRows: !this.#rows.isFollowing });
    if (change.cleared) this.#pager.cancel();
    if (loadedLines) this.#pager.loadWrittenSoon();
    if (!this.#rows.isFollowing) this.#newLines += change.received + loadedLines;
    if (change.cleared) this.#rows.reset();
    else if (change.added || change.dropped) this.#rows.onAppend(change);
    this.#update();
  }

  /** @param {StreamState} state */
  #onStreamState({ phase, detail, status, code }) {
    this.#phase = phase;
    // The view of the job says that there is none.
    if (detail && status !== 401 && code !== "job_not_found") this.#showMessage(detail);
    else if (phase === "live") this.#showMessage("");
    this.#update();
  }

  /** @param {string} sentence "" for no message. */
  #showMessage(sentence) {
    this.#notes.showMessage(sentence);
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
    this.#stream.follow(cursor);
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
   * Fetch lines for the window: all, or those that match the filter.
   *
   * @type {import("../model/log_pager.js").FetchPage}
   */
  #fetchRows(query, signal) {
    const context = this.#filter?.context || null;
    return this.#fetchPage({ ...this.#filter, context, ...query }, signal);
  }

  /** @type {import("../model/log_pager.js").FetchPage} */
  #fetchPage(query, signal) {
    const { linesPath } = this.#source;
    return getJson(withQuery(linesPath, { level: this.#controls.level, ...query }), { signal });
  }

  #updateLayout() {
    this.#controls.applyTo(this.#rows);
    this.#update();
  }

  #update() {
    const { isFollowing } = this.#rows;
    const { atEnd, partial, isFromConductor, hasEntries } = this.#window;
    this.#rows.showPartial(atEnd ? partial : null);
    this.#sourceNote.hidden = !isFromConductor;
    this.#toEnd.update({ isFollowing, atEnd, count: this.#newLines });
    this.#controls.update({ isFollowing, hasEntries, status: this.#statusText() });
  }

  #statusText() {
    return logStatusText(this.#window, {
      name: this.#source.name,
      phase: this.#phase,
      filter: this.#filter,
      level: this.#controls.level,
      isFollowing: this.#rows.isFollowing,
      selected: this.#selection.lines.length,
    });
  }
}
