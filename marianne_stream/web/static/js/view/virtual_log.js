/**
 * Virtual list of log rows: only the rows near the viewport are in the page, some dozens of elements
 * for any number of rows. Heights of rows that were never drawn are estimated.
 */

import { h, setChildren } from "./dom.js";
import { makePartialRow } from "./log_row.js";
import { RowElements } from "./row_elements.js";
import { LogRowLayout } from "./log_row_layout.js";
import { RowMetrics } from "./row_metrics.js";
import { keepSelection } from "./row_selection.js";
import { ScrollTracker } from "./scroll_tracker.js";

/**
 * @typedef {object} VirtualLogOptions
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {() => void} onNearStart the viewport is near the first row.
 * @property {() => void} onNearEnd the viewport is near the last row.
 * @property {(isFollowing: boolean) => void} onFollowChange
 * @property {(serial: number, extend: boolean) => void} onSelect the number of a line was clicked.
 */

/** Height above and below the viewport that is drawn as well, in pixels. */
const OVERSCAN_PX = 400;

/** Distance from an end of the rows at which more are requested. */
const LOAD_DISTANCE_PX = 1_500;

/** Distance from the end within which the viewport is at the end. */
const END_TOLERANCE_PX = 6;

/** Number of measurements in a frame: a measured height may move the rows of the viewport. */
const MAX_PASSES = 3;

export class VirtualLog {
  #window;
  #selection;
  #options;
  #resizeObserver;
  #metrics = new RowMetrics();
  #elements;
  #layout;
  #inner = h("div.rows", { role: "presentation" });
  #sizer = h("div.sizer", { role: "presentation" });
  #foot = h("div.partial", { role: "presentation" });
  /** @type {import("../model/log_window.js").LogWindow["partial"]} */
  #partial = null;
  /** Serials of rows that stay in the page, in order: a selection of the browser begins or ends there. */
  #pinned = /** @type {number[]} */ ([]);
  /** Serial of a row whose match is to be brought into view. */
  #revealed = NaN;
  #isDrawPending = false;
  #scrollTracker;
  /** Serial of the current line; NaN for none. */
  current = NaN;
  /** True if new rows are scrolled into view. */
  isFollowing = true;

  /**
   * @param {import("../model/log_window.js").LogWindow} window
   * @param {import("../model/line_selection.js").LineSelection} selection
   * @param {VirtualLogOptions} options
   */
  constructor(window, selection, options) {
    this.#window = window;
    this.#selection = selection;
    this.#options = options;
    this.#elements = new RowElements(window, {
      ...options,
      metrics: this.#metrics,
      onToggle: () => this.draw(),
      onToggleEntry: (serial) => this.#toggleEntry(serial),
    });
    this.#layout = new LogRowLayout(window, this.#metrics, this.#elements);
    this.#sizer.append(this.#inner);
    this.element = h(
      "div.log-rows",
      { id: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" },
      this.#sizer,
      this.#foot,
    );
    this.element.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.#scrollTracker = new ScrollTracker(this.element);
    this.#resizeObserver = new ResizeObserver(() => this.#onResize());
    this.#resizeObserver.observe(this.element);
  }

  close() {
    this.#resizeObserver.disconnect();
  }

  /** Draw the rows of the window, after it was given other ones. */
  reset() {
    this.#elements.clear();
    this.#pinned = [];
    this.#metrics.showColumns(this.element, this.#window);
    this.#layout.reset();
    this.draw();
  }

  /**
   * Draw rows that were added at the end, and keep the viewport if rows were dropped at the start.
   *
   * @param {{added: number, dropped: number}} change
   */
  onAppend({ added, dropped }) {
    const haveColumnsChanged = this.#metrics.showColumns(this.element, this.#window);
    if (dropped) {
      const droppedHeight = this.#layout.offset(Math.min(dropped, this.#layout.length));
      this.#layout.rebuild();
      if (!this.isFollowing) this.#scrollTo(this.element.scrollTop - droppedHeight);
    } else this.#layout.push(added);
    if (haveColumnsChanged) this.#onResize();
    this.draw();
  }

  /**
   * Draw rows that were added at the start or between others, and keep the viewport.
   *
   * @param {object} change
   * @param {number} [change.prepended] number of rows added at the start.
   * @param {number[]} [change.insertedAt] serials that rows had before which others were added.
   * @param {(serial: number) => number} [change.moved] returns the new serial of a row.
   */
  onInsert({ prepended = 0, insertedAt = [], moved = (serial) => serial }) {
    if (prepended) this.#elements.dropFirstDay(prepended);
    this.current = moved(this.current);
    this.#pinned = this.#pinned.map(moved);
    this.#elements.move(insertedAt, moved);
    const top = this.#layout.insert(this.element.scrollTop, moved);
    if (!this.isFollowing) this.#scrollTo(top);
    if (this.#metrics.showColumns(this.element, this.#window)) this.#onResize();
    this.draw();
  }

  /**
   * Show the last line while it has no newline.
   *
   * @param {import("../model/log_window.js").LogWindow["partial"]} partial
   */
  showPartial(partial) {
    if (partial === this.#partial) return;
    this.#partial = partial;
    setChildren(this.#foot, partial ? [makePartialRow(partial, this.#elements.pattern)] : []);
    if (this.isFollowing) this.scrollToEnd();
  }

  /** Draw in the next frame. */
  draw() {
    if (this.#isDrawPending) return;
    this.#isDrawPending = true;
    requestAnimationFrame(() => {
      this.#isDrawPending = false;
      this.#draw();
    });
  }

  /**
   * Wrap long lines or not, and fold entries or open them.
   *
   * @param {{wrap: boolean, fold: boolean}} layout
   */
  setLayout({ wrap, fold }) {
    this.#metrics.wrap = wrap;
    if (this.#metrics.areEntriesFolded !== fold) {
      for (const { entry } of this.#window.rows) if (entry) entry.isOpen = undefined;
    }
    this.#metrics.areEntriesFolded = fold;
    this.redraw();
  }

  /** @param {number[]} serials of rows that stay in the page while they are out of sight. */
  pin(serials) {
    this.#pinned = serials.filter((serial) => this.#window.has(serial)).sort((a, b) => a - b);
  }

  /** @param {boolean} hasContext lines are left out between matches. */
  setContext(hasContext) {
    this.#elements.hasContext = hasContext;
  }

  /** @param {RegExp | null} pattern text to highlight. */
  setPattern(pattern) {
    this.#elements.pattern = pattern;
    this.redraw();
  }

  /** Draw all rows anew, after a change of their layout. */
  redraw() {
    const top = this.#layout.indexAt(this.element.scrollTop);
    this.#elements.clear();
    this.#layout.reset();
    if (!this.isFollowing && top >= 0) this.#scrollTo(this.#layout.offset(top));
    this.draw();
  }

  /**
   * Make a row the current one, and scroll it to the middle.
   *
   * @param {number} serial
   */
  scrollToRow(serial) {
    this.setFollowing(false);
    this.current = serial;
    const row = this.#window.getRow(serial);
    if (row?.entry && this.#metrics.isHidden(row)) {
      row.entry.isOpen = true;
      this.#elements.drop(this.#layout.findEntryHead(serial));
      this.#layout.rebuild();
    }
    const middle = (this.element.clientHeight - this.#metrics.lineHeight) / 2;
    this.#scrollTo(this.#layout.offset(serial - this.#layout.firstSerial) - middle);
    this.#revealed = serial;
    this.draw();
  }

  /** Bring the match in a row that was scrolled to into view: a long line may hide it. */
  #revealMatch() {
    const { isOpened, distance } = this.#elements.findMatch(this.#revealed, this.element);
    if (!isOpened) this.#revealed = NaN;
    // Scrolling draws.
    if (distance) this.#scrollTo(this.element.scrollTop + distance);
  }

  scrollToStart() {
    this.setFollowing(false);
    this.#scrollTo(0);
    this.draw();
  }

  scrollToEnd() {
    this.#scrollTo(this.#layout.total);
    this.draw();
  }

  /**
   * Make another row the current one, and keep it in view.
   *
   * @param {number} by
   */
  step(by) {
    // Keys of the browser, such as Ctrl+A, are for the log as well from now on.
    if (!this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    const [first, last] = this.visibleRange;
    const isVisible = this.current >= first && this.current <= last;
    const next = isVisible ? this.current + by : by > 0 && !this.isFollowing ? first : last;
    const { firstSerial, length } = this.#layout;
    const shown = Math.max(firstSerial, Math.min(next, firstSerial + length - 1));
    this.#moveTo(this.#layout.skipHidden(shown, by));
  }

  /**
   * Make a row the current one, and scroll it into view.
   *
   * @param {number} serial
   */
  #moveTo(serial) {
    this.current = serial;
    this.setFollowing(false);
    const index = serial - this.#layout.firstSerial;
    const { scrollTop, clientHeight } = this.element;
    const [top, height] = [this.#layout.offset(index), this.#layout.height(index)];
    if (top < scrollTop) this.#scrollTo(top);
    else if (top + height > scrollTop + clientHeight) this.#scrollTo(top + height - clientHeight);
    this.draw();
  }

  /**
   * Scroll by a page: down, or with Shift up.
   *
   * @param {KeyboardEvent} event
   */
  page({ shiftKey }) {
    if (shiftKey) this.setFollowing(false);
    const by = this.element.clientHeight - 2 * this.#metrics.lineHeight;
    this.element.scrollTop += shiftKey ? -by : by;
  }

  /** Open or close the current line's fields, its entry, or the rest of it. */
  toggleCurrent() {
    const row = this.#window.getRow(this.current);
    if (!row) return;
    const toggle = this.#elements.findToggle(this.current);
    if (toggle) toggle.click();
    else if (row.entry) this.#toggleEntry(this.current);
  }

  /** @param {boolean} isFollowing */
  setFollowing(isFollowing) {
    if (this.isFollowing === isFollowing) return;
    this.isFollowing = isFollowing;
    if (isFollowing) this.scrollToEnd();
    this.#options.onFollowChange(isFollowing);
  }

  /** Lines in the viewport. */
  get visibleLines() {
    const [first, last] = this.visibleRange;
    return this.#window.linesBetween(first, last);
  }

  /** Serials of the first and the last row in the viewport. */
  get visibleRange() {
    const { scrollTop, clientHeight } = this.element;
    return [scrollTop, scrollTop + clientHeight - 1].map(
      (offset) => this.#layout.firstSerial + this.#layout.indexAt(offset),
    );
  }

  /**
   * Fold or open the entry of a row.
   *
   * @param {number} serial
   */
  #toggleEntry(serial) {
    const entry = this.#window.getRow(serial)?.entry;
    if (!entry) return;
    const head = this.#layout.findEntryHead(serial);
    entry.isOpen = !(entry.isOpen ?? !this.#metrics.areEntriesFolded);
    this.#elements.drop(head);
    this.#layout.rebuild();
    if (head !== serial) this.#moveTo(head);
    else this.draw();
  }

  #draw() {
    const { scrollTop, clientHeight } = this.element;
    if (!this.#layout.length) {
      setChildren(this.#inner, []);
      this.#sizer.style.height = "0px";
      // Older lines may match.
      this.#options.onNearStart();
      return;
    }
    this.#elements.startFrame();
    const endTop = () => Math.max(0, this.#layout.total - clientHeight);
    let top = this.isFollowing ? endTop() : scrollTop;
    for (let pass = 0; pass < MAX_PASSES; pass += 1) {
      const from = this.#layout.indexAt(Math.max(0, top - OVERSCAN_PX));
      const to = this.#layout.indexAt(top + clientHeight + OVERSCAN_PX);
      this.#placeRows(from, to);
      const moved = this.#layout.measure(from, to, top);
      if (!moved) break;
      top = this.isFollowing ? endTop() : top + moved.above;
      if (!this.isFollowing && moved.above) this.#scrollTo(top);
    }
    this.#sizer.style.height = `${this.#layout.total}px`;
    if (this.isFollowing) this.#scrollTo(this.#layout.total);
    this.#elements.dropFar(this.visibleRange, this.#pinned);
    if (this.#elements.hasPending) this.draw();
    else this.#revealMatch();
    if (top < LOAD_DISTANCE_PX) this.#options.onNearStart();
    if (this.#layout.total - top - clientHeight < LOAD_DISTANCE_PX) this.#options.onNearEnd();
  }

  /**
   * Put a range of rows into the page.
   *
   * @param {number} from
   * @param {number} to
   */
  #placeRows(from, to) {
    const { firstSerial } = this.#layout;
    const elements = this.#elements.getMarked(firstSerial + from, firstSerial + to, {
      pinned: this.#pinned,
      selected: this.#selection.range,
      current: this.current,
    });
    keepSelection(this.#inner, () => setChildren(this.#inner, elements));
    this.#inner.style.transform = `translateY(${this.#layout.offset(from)}px)`;
    this.#sizer.style.height = `${this.#layout.total}px`;
  }

  /** @param {number} top */
  #scrollTo(top) {
    // An offset beyond the element's height would be clamped.
    this.#sizer.style.height = `${this.#layout.total}px`;
    this.element.scrollTop = top;
    this.#scrollTracker.position = this.element.scrollTop;
  }

  /** Start or stop following when the user scrolls to the end or away from it. */
  #onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    const distance = this.#scrollTracker.userScroll(scrollTop);
    if (distance) {
      const atEnd = scrollHeight - clientHeight - scrollTop <= END_TOLERANCE_PX;
      if (this.isFollowing && !atEnd) this.setFollowing(false);
      else if (!this.isFollowing && atEnd && distance > 0 && this.#window.atEnd) {
        this.setFollowing(true);
      }
    }
    this.draw();
  }

  #onResize() {
    this.#metrics.measure(this.#inner);
    this.redraw();
  }
}
