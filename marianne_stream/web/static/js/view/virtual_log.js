/**
 * Virtual list of log rows: only the rows near the viewport are in the page, some dozens of elements
 * for any number of rows. Heights of rows that were never drawn are estimated.
 */

import { RowHeights } from "../model/row_heights.js";
import { h, setChildren } from "./dom.js";
import { makePartialRow } from "./log_row.js";
import { RowElements } from "./row_elements.js";
import { RowMetrics } from "./row_metrics.js";
import { ScrollTracker } from "./scroll_tracker.js";

/** @typedef {import("../model/log_window.js").LogRow} Row */

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
  #heights = new RowHeights();
  #elements;
  #metrics = new RowMetrics();
  #inner = h("div.rows", { role: "presentation" });
  #sizer = h("div.sizer", { role: "presentation" });
  #foot = h("div.partial", { role: "presentation" });
  /** @type {import("../model/log_window.js").LogWindow["partial"]} */
  #partial = null;
  #firstSerial;
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
    this.#firstSerial = window.firstSerial;
    this.#options = options;
    this.#elements = new RowElements(window, { ...options, onToggle: () => this.draw() });
    this.#sizer.append(this.#inner);
    this.element = h(
      "div.log-rows",
      { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" },
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
    this.#firstSerial = this.#window.firstSerial;
    this.#resetHeights();
    this.draw();
  }

  /**
   * Draw rows that were added at the end, and keep the viewport if rows were dropped at the start.
   *
   * @param {{added: number, dropped: number}} change
   */
  onAppend({ added, dropped }) {
    if (dropped) {
      const droppedHeight = this.#heights.offset(Math.min(dropped, this.#heights.length));
      this.#firstSerial = this.#window.firstSerial;
      this.#rebuildHeights();
      if (!this.isFollowing) this.#scrollTo(this.element.scrollTop - droppedHeight);
    } else {
      const { rows } = this.#window;
      for (const row of rows.slice(rows.length - added)) {
        this.#heights.push(this.#metrics.estimate(row));
      }
    }
    this.draw();
  }

  /**
   * Draw rows that were added at the start, and keep the viewport.
   *
   * @param {{added: number}} change
   */
  onPrepend({ added }) {
    const height = this.#window.rows
      .slice(0, added)
      .reduce((sum, row) => sum + this.#metrics.estimate(row), 0);
    this.#firstSerial = this.#window.firstSerial;
    this.#rebuildHeights(added);
    if (added) this.#elements.dropFirstDay(added);
    this.#scrollTo(this.element.scrollTop + height);
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

  /** @param {boolean} wrap whether long lines are wrapped. */
  setWrap(wrap) {
    this.#metrics.wrap = wrap;
    this.redraw();
  }

  /** @param {RegExp | null} pattern text to highlight. */
  setPattern(pattern) {
    this.#elements.pattern = pattern;
    this.redraw();
  }

  /** Draw all rows anew, after a change of their layout. */
  redraw() {
    const top = this.#indexAt(this.element.scrollTop);
    this.#elements.clear();
    this.#resetHeights();
    if (!this.isFollowing && top >= 0) this.#scrollTo(this.#heights.offset(top));
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
    const middle = (this.element.clientHeight - this.#metrics.lineHeight) / 2;
    this.#scrollTo(this.#heights.offset(serial - this.#firstSerial) - middle);
    this.#elements.clear();
    this.draw();
  }

  scrollToStart() {
    this.setFollowing(false);
    this.#scrollTo(0);
    this.draw();
  }

  scrollToEnd() {
    this.#scrollTo(this.#heights.total);
    this.draw();
  }

  /**
   * Make another row the current one, and keep it in view.
   *
   * @param {number} by
   */
  step(by) {
    const [first, last] = this.visibleRange;
    const isVisible = this.current >= first && this.current <= last;
    const next = isVisible ? this.current + by : by > 0 && !this.isFollowing ? first : last;
    const end = this.#firstSerial + this.#heights.length - 1;
    this.current = Math.max(this.#firstSerial, Math.min(next, end));
    this.setFollowing(false);
    const index = this.current - this.#firstSerial;
    const { scrollTop, clientHeight } = this.element;
    const [top, height] = [this.#heights.offset(index), this.#heights.get(index) ?? 0];
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

  /** Open or close the fields of the current line. */
  toggleCurrent() {
    if (this.#window.has(this.current)) this.#elements.get(this.current).toggle?.click();
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
    return this.#window.rows
      .slice(first - this.#firstSerial, last - this.#firstSerial + 1)
      .filter(({ kind }) => kind === "line");
  }

  /** Serials of the first and the last row in the viewport. */
  get visibleRange() {
    const { scrollTop, clientHeight } = this.element;
    const indexes = [this.#indexAt(scrollTop), this.#indexAt(scrollTop + clientHeight - 1)];
    return indexes.map((index) => this.#firstSerial + index);
  }

  #resetHeights() {
    this.#heights.reset(this.#window.rows.map((row) => this.#metrics.estimate(row)));
  }

  /** @param {number} [added] number of new rows at the start. */
  #rebuildHeights(added = 0) {
    const heights = this.#window.rows.map((row, index) => {
      const known = index >= added && this.#elements.drawnHeight(this.#firstSerial + index);
      return known || this.#metrics.estimate(row);
    });
    this.#heights.reset(heights);
  }

  /** @param {number} offset */
  #indexAt(offset) {
    return this.#heights.length ? this.#heights.indexAt(offset) : -1;
  }

  #draw() {
    const { scrollTop, clientHeight } = this.element;
    if (!this.#heights.length) {
      setChildren(this.#inner, []);
      this.#sizer.style.height = "0px";
      return;
    }
    const endTop = () => Math.max(0, this.#heights.total - clientHeight);
    let top = this.isFollowing ? endTop() : scrollTop;
    for (let pass = 0; pass < MAX_PASSES; pass += 1) {
      const from = this.#heights.indexAt(Math.max(0, top - OVERSCAN_PX));
      const to = this.#heights.indexAt(top + clientHeight + OVERSCAN_PX);
      this.#placeRows(from, to);
      const moved = this.#measure(from, to, top);
      if (!moved) break;
      top = this.isFollowing ? endTop() : top + moved.above;
      if (!this.isFollowing && moved.above) this.#scrollTo(top);
    }
    this.#sizer.style.height = `${this.#heights.total}px`;
    if (this.isFollowing) this.#scrollTo(this.#heights.total);
    this.#elements.dropFar(this.visibleRange);
    if (top < LOAD_DISTANCE_PX) this.#options.onNearStart();
    if (this.#heights.total - top - clientHeight < LOAD_DISTANCE_PX) this.#options.onNearEnd();
  }

  /**
   * Put a range of rows into the page.
   *
   * @param {number} from
   * @param {number} to
   */
  #placeRows(from, to) {
    const selected = this.#selection.range;
    const elements = [];
    for (let index = from; index <= to; index += 1) {
      const serial = this.#firstSerial + index;
      const { element } = this.#elements.get(this.#firstSerial + index);
      const isSelected = selected && serial >= selected.first && serial <= selected.last;
      element.classList.toggle("selected", Boolean(isSelected));
      element.classList.toggle("current", serial === this.current);
      elements.push(element);
    }
    setChildren(this.#inner, elements);
    this.#inner.style.transform = `translateY(${this.#heights.offset(from)}px)`;
    this.#sizer.style.height = `${this.#heights.total}px`;
  }

  /**
   * Measure drawn rows.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} top of the viewport.
   * @returns {{above: number} | null} growth of the rows above the viewport; null if no height changed.
   */
  #measure(from, to, top) {
    let above = 0;
    let hasChanged = false;
    const firstVisible = this.#heights.indexAt(top);
    for (let index = from; index <= to; index += 1) {
      const row = this.#window.rows[index];
      const drawn = this.#elements.get(this.#firstSerial + index);
      drawn.height ||= drawn.element.getBoundingClientRect().height;
      this.#metrics.remember(row, drawn.height);
      const growth = this.#heights.set(index, drawn.height);
      hasChanged ||= growth !== 0;
      if (index < firstVisible) above += growth;
    }
    return hasChanged ? { above } : null;
  }

  /** @param {number} top */
  #scrollTo(top) {
    // An offset beyond the element's height would be clamped.
    this.#sizer.style.height = `${this.#heights.total}px`;
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
