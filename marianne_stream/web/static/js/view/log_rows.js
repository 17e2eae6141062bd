/**
 * The rows of a log window that are seen, and no others: the page holds some dozens of elements
 * however many rows there are. It must not know where rows come from.
 */

import { Heights } from "../model/heights.js";
import { arrange, h } from "./dom.js";
import { dayBegun, LOOK_BACK } from "../model/line_time.js";
import { partialElement, rowElement, timeOfRow } from "./log_row.js";

/** So many pixels beside what is seen are drawn as well. */
const BESIDE = 400;

/** From the edge of what there is, this near: time to ask for more. */
const NEAR = 1_500;

/** A scroll that comes so soon after a hand moved is that hand's; any other is the page's own. */
const HAND_MS = 1_000;

/** Lower than this above the end, one is at the end. */
const AT_END = 6;

/** The scrolled part of the log view. */
export class LogRows {
  #window;
  #choice;
  #resizes;
  #heights = new Heights();
  #elements = new Map();
  #lineHeight = 18;
  #columns = 100;
  #inner = h("div.rows", { role: "presentation" });
  #sizer = h("div.sizer", { role: "presentation" });
  #foot = h("div.partial", { role: "presentation" });
  #partial = null;
  #first;
  #scheduled = false;
  #setTop = -1;
  #handAt = 0;
  #range = null;
  #options;
  wrap = true;
  pattern = null;
  /** The serial that is looked at. */
  current = -1;
  /** Whether what comes is scrolled to. */
  following = true;

  /**
   * @param {import("../model/log_window.js").LogWindow} window
   * @param {import("../model/log_choice.js").LogChoice} choice
   * @param {{times: import("../model/times.js").Times, onNearStart: Function, onNearEnd: Function, onFollow: Function, onChoose: Function}} options
   */
  constructor(window, choice, options) {
    this.#window = window;
    this.#choice = choice;
    this.#first = window.first;
    this.#options = options;
    this.#sizer.append(this.#inner);
    this.element = h(
      "div.log-rows",
      { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" },
      this.#sizer,
      this.#foot,
    );
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const hand of ["wheel", "touchmove", "pointerdown", "pointermove", "keydown"]) {
      this.element.addEventListener(hand, (event) => this.#handMoved(event), { passive: true });
    }
    this.#resizes = new ResizeObserver(() => this.#resized());
    this.#resizes.observe(this.element);
  }

  /** The window was given other rows, all of them. */
  reset() {
    this.#elements.clear();
    this.#first = this.#window.first;
    this.#heights.reset(this.#window.rows.map((row) => this.#guess(row)));
    this.draw();
  }

  /** Rows came behind, and some in front may have gone: what is seen stays where it is. */
  appended({ added, dropped }) {
    if (dropped) {
      const gone = this.#heights.offset(Math.min(dropped, this.#heights.length));
      this.#first = this.#window.first;
      this.#rebuild();
      if (!this.following) this.#scrollTo(this.element.scrollTop - gone);
    } else {
      const { rows } = this.#window;
      for (const row of rows.slice(rows.length - added)) this.#heights.push(this.#guess(row));
    }
    this.draw();
  }

  /** Shows a last line that has no newline behind all rows; null for none. */
  showPartial(partial) {
    if (partial === this.#partial) return;
    this.#partial = partial;
    arrange(this.#foot, partial ? [partialElement(partial, this.pattern)] : []);
    if (this.following) this.toEnd();
  }

  /** Rows came in front, and some behind may have gone. */
  prepended({ added }) {
    const guess = this.#window.rows.slice(0, added).reduce((sum, row) => sum + this.#guess(row), 0);
    this.#first = this.#window.first;
    this.#rebuild(added);
    if (added) this.#forgetFirstDay(added);
    this.#scrollTo(this.element.scrollTop + guess);
    this.draw();
  }

  /** Draws soon, once for all who ask. */
  draw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  /** Draws all anew: how rows look has changed. */
  redraw() {
    const top = this.#firstSeen();
    this.#elements.clear();
    this.#heights.reset(this.#window.rows.map((row) => this.#guess(row)));
    if (!this.following && top >= 0) this.#scrollTo(this.#heights.offset(top));
    this.draw();
  }

  /** Shows a row in the middle. */
  show(serial) {
    this.follow(false);
    this.current = serial;
    const index = serial - this.#first;
    const middle = (this.element.clientHeight - this.#lineHeight) / 2;
    this.#scrollTo(this.#heights.offset(index) - middle);
    this.#elements.clear();
    this.draw();
  }

  toStart() {
    this.follow(false);
    this.#scrollTo(0);
    this.draw();
  }

  toEnd() {
    this.#scrollTo(this.#heights.total);
    this.draw();
  }

  /** Goes to another line, and keeps it in sight. */
  step(by) {
    const [first, last] = this.seen;
    const seen = this.current >= first && this.current <= last;
    const next = seen ? this.current + by : by > 0 && !this.following ? first : last;
    this.current = Math.max(this.#first, Math.min(next, this.#first + this.#heights.length - 1));
    this.follow(false);
    const index = this.current - this.#first;
    const { scrollTop, clientHeight } = this.element;
    const [top, height] = [this.#heights.offset(index), this.#heights.get(index) ?? 0];
    if (top < scrollTop) this.#scrollTo(top);
    else if (top + height > scrollTop + clientHeight) this.#scrollTo(top + height - clientHeight);
    this.draw();
  }

  /** A page down, or up. */
  page({ shiftKey }) {
    if (shiftKey) this.follow(false);
    const by = this.element.clientHeight - 2 * this.#lineHeight;
    this.element.scrollTop += shiftKey ? -by : by;
  }

  /** Opens the fields of the line that is looked at, or closes them. */
  toggleCurrent() {
    this.#elements.get(this.current)?.element.querySelector(".braces")?.click();
  }

  /** Nothing is observed any more. */
  close() {
    this.#resizes.disconnect();
  }

  /** Whether what comes is scrolled to from now on. */
  follow(following) {
    if (this.following === following) return;
    this.following = following;
    if (following) this.toEnd();
    this.#options.onFollow(following);
  }

  /** The lines that are seen. */
  get seenLines() {
    const [first, last] = this.seen;
    const rows = this.#window.rows.slice(first - this.#first, last - this.#first + 1);
    return rows.filter(({ kind }) => kind === "line");
  }

  /** The serials of the first and the last row that are seen. */
  get seen() {
    const [first, last] = [
      this.#firstSeen(),
      this.#indexAt(this.element.scrollTop + this.element.clientHeight - 1),
    ];
    return [this.#first + first, this.#first + last];
  }

  #rebuild(added = 0) {
    const known = new Map([...this.#elements].map(([serial, { height }]) => [serial, height]));
    const heights = this.#window.rows.map((row, index) => {
      const serial = this.#first + index;
      return (index >= added && known.get(serial)) || this.#guess(row);
    });
    this.#heights.reset(heights);
  }

  /** How high a row is, before it was drawn: letters are all as wide. */
  #guess(row) {
    if (row.height && row.heightAt === this.#key(row)) return row.height;
    if (row.kind !== "line") return this.#lineHeight + 10;
    if (!this.wrap) return this.#lineHeight;
    return (
      Math.max(1, Math.ceil(Math.min(row.text.length, 8000) / this.#columns)) * this.#lineHeight
    );
  }

  #key(row) {
    return `${this.wrap ? this.#columns : 0} ${Boolean(row.open)}`;
  }

  #firstSeen() {
    return this.#indexAt(this.element.scrollTop);
  }

  #indexAt(place) {
    return this.#heights.length ? this.#heights.indexAt(place) : -1;
  }

  #draw() {
    this.#range = this.#choice.range;
    const { scrollTop, clientHeight } = this.element;
    const count = this.#heights.length;
    let top = this.following ? Math.max(0, this.#heights.total - clientHeight) : scrollTop;
    if (!count) {
      arrange(this.#inner, []);
      this.#sizer.style.height = "0px";
      return;
    }
    // Rows that were never drawn are guessed: what is measured may move the place to be.
    for (let turn = 0; turn < 3; turn += 1) {
      const from = this.#heights.indexAt(Math.max(0, top - BESIDE));
      const to = Math.min(count - 1, this.#heights.indexAt(top + clientHeight + BESIDE));
      this.#place(from, to);
      const moved = this.#measure(from, to, top);
      if (!moved) break;
      top = this.following ? Math.max(0, this.#heights.total - clientHeight) : top + moved.above;
      if (!this.following && moved.above) this.#scrollTo(top);
    }
    this.#sizer.style.height = `${this.#heights.total}px`;
    if (this.following) this.#scrollTo(this.#heights.total);
    this.#forget();
    this.#askForMore(top, clientHeight);
  }

  /** Puts the rows from one to another into the page. */
  #place(from, to) {
    const elements = [];
    for (let index = from; index <= to; index += 1) elements.push(this.#elementOf(index).element);
    arrange(this.#inner, elements);
    this.#inner.style.transform = `translateY(${this.#heights.offset(from)}px)`;
    this.#sizer.style.height = `${this.#heights.total}px`;
  }

  #elementOf(index) {
    const serial = this.#first + index;
    let known = this.#elements.get(serial);
    if (!known) {
      const row = this.#window.rows[index];
      const { times } = this.#options;
      const element = rowElement(row, {
        pattern: this.pattern,
        times,
        day: dayBegun((other) => this.#dayAt(other), index, times.today),
        onNumber: (event) => this.#options.onChoose(serial, event.shiftKey),
        onOpen: () => {
          this.#elements.delete(serial);
          this.draw();
        },
      });
      known = { element, height: 0 };
      this.#elements.set(serial, known);
    }
    const chosen = this.#range && serial >= this.#range.from && serial <= this.#range.to;
    known.element.classList.toggle("chosen", Boolean(chosen));
    known.element.classList.toggle("current", serial === this.current);
    return known;
  }

  #dayAt(index) {
    return timeOfRow(this.#window.rows[index], this.#options.times).day;
  }

  /** Draws the first row with a day anew, once others are in front of it: that day may begin with them. */
  #forgetFirstDay(from) {
    for (let index = from; index < Math.min(this.#heights.length, from + LOOK_BACK); index += 1) {
      this.#elements.delete(this.#first + index);
      if (this.#dayAt(index)) return;
    }
  }

  /** Takes the heights of drawn rows over; says how much those above the place have grown. */
  #measure(from, to, top) {
    let above = 0;
    let any = false;
    const seen = this.#heights.indexAt(top);
    for (let index = from; index <= to; index += 1) {
      const row = this.#window.rows[index];
      const known = this.#elementOf(index);
      if (!known.height) known.height = known.element.getBoundingClientRect().height;
      row.height = known.height;
      row.heightAt = this.#key(row);
      const more = this.#heights.set(index, known.height);
      any ||= more !== 0;
      if (index < seen) above += more;
    }
    return any ? { above } : null;
  }

  /** Lets go of elements that are far from what is seen. */
  #forget() {
    if (this.#elements.size < 600) return;
    const [first, last] = this.seen;
    for (const serial of this.#elements.keys()) {
      if (serial >= first - 150 && serial <= last + 150) continue;
      this.#elements.delete(serial);
      const row = this.#window.row(serial);
      if (row) row.parts = undefined;
    }
  }

  #askForMore(top, height) {
    if (top < NEAR) this.#options.onNearStart();
    if (this.#heights.total - top - height < NEAR) this.#options.onNearEnd();
  }

  #scrollTo(top) {
    // The place is only there when the height is.
    this.#sizer.style.height = `${this.#heights.total}px`;
    this.element.scrollTop = top;
    this.#setTop = this.element.scrollTop;
  }

  #handMoved({ type, buttons }) {
    if (type !== "pointermove" || buttons) this.#handAt = Date.now();
  }

  /** Somebody scrolled, or we did: only the former stops following, or begins it. */
  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    const byHand = Date.now() - this.#handAt < HAND_MS;
    if (byHand && Math.abs(scrollTop - this.#setTop) > 1) {
      const atEnd = scrollHeight - clientHeight - scrollTop <= AT_END;
      if (this.following && !atEnd) this.follow(false);
      else if (!this.following && atEnd && this.#window.atEnd && scrollTop > this.#setTop)
        this.follow(true);
      this.#setTop = scrollTop;
    }
    this.draw();
  }

  /** How high a line is, and how many letters fit into one. */
  #resized() {
    const letters = h("span", {}, "0".repeat(20));
    const text = h("span.text", {}, letters);
    const probe = h("div.row.line.probe", {}, h("span.number"), h("time"), h("span.level"), text);
    this.#inner.append(probe);
    this.#lineHeight = Number.parseFloat(getComputedStyle(probe).lineHeight) || this.#lineHeight;
    const letter = letters.getBoundingClientRect().width / 20 || 7;
    this.#columns = Math.max(10, Math.floor(text.getBoundingClientRect().width / letter));
    probe.remove();
    this.redraw();
  }
}
