/**
 * Gantt chart of a job's sheets: a row for each sheet, by movement. Only visible rows are drawn. One
 * row is reached by Tab, the others by arrow keys (ARIA, roving tabindex).
 */

import {
  ganttRows,
  ganttSpan,
  ganttTicks,
  isActive,
  missingBarWords,
  ROW_REM,
  sheetSegments,
  sheetSpan,
  visibleRows,
} from "../model/gantt.js";
import { isAtWork } from "../model/status.js";
import { formatDuration, formatShortDuration } from "../model/time_format.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { GanttRow } from "./gantt_row.js";

/** @typedef {import("../model/gantt.js").Row} Row */
/** @typedef {import("../model/job.js").Sheet} Sheet */

/** Width of a label of the axis, with space around it: to the second, and to a tenth of it. */
const TICK_WIDTH_PX = 80;
const TENTH_WIDTH_PX = 96;

export class GanttView {
  #page;
  #onSelect;
  /** @type {import("../model/job.js").Job | null} */
  #job = null;
  /** @type {Row[]} */
  #rows = [];
  /** @type {Map<number, GanttRow>} drawn rows by number of the sheet. */
  #drawn = new Map();
  /** @type {Map<number, HTMLElement>} headings by their top. */
  #headings = new Map();
  /** @type {number | null} */
  #selected = null;
  /** @type {number | null} number of the sheet that Tab reaches. */
  #tabStop = null;
  /** False once the reader has scrolled, or chosen or focused a sheet. */
  #followsWork = true;
  /** Sheets at work that were brought into view last: the first and the last one. */
  #shownWork = "";
  #frame = 0;
  #axis = h("div.gantt-axis", { "aria-hidden": "true" });
  #nowLine = h("div.now-line", { hidden: true });
  #overlay = h("div.gantt-overlay", { "aria-hidden": "true" }, this.#nowLine);
  #list = h("div.gantt-rows", { role: "group", "aria-label": "Sheets" });
  #empty = h("p.muted", {}, "Loading …");
  #nowLegend = makeLegend("now", h("span.now-mark"));
  #workLegend = makeLegend("at work", h("span.segment", { "data-kind": "work" }));
  #stalledLegend = makeLegend("may be stuck", h("span.segment.stalled"));
  #scroller = h(
    "div.gantt",
    { hidden: true },
    h("div.gantt-head", {}, this.#axis),
    h("div.gantt-body", {}, this.#overlay, this.#list),
  );
  /** Height of the visible part of the chart, in pixels. */
  #height = 0;
  #resizeObserver = new ResizeObserver(() => this.#onResize());

  /**
   * @param {import("./page.js").Page} page
   * @param {(number: number | null) => void} onSelect a sheet was chosen, or none any more.
   */
  constructor(page, onSelect) {
    this.#page = page;
    this.#onSelect = onSelect;
    this.#nowLegend.hidden = this.#workLegend.hidden = this.#stalledLegend.hidden = true;
    this.element = h(
      "section.panel.sheets",
      { "aria-labelledby": "sheets-heading" },
      h(
        "div.bar",
        {},
        h("h2", { id: "sheets-heading" }, "Sheets"),
        this.#nowLegend,
        this.#workLegend,
        this.#stalledLegend,
        makeLegend("waits", h("span.segment", { "data-kind": "wait" })),
        makeLegend("failed", h("span.segment", { "data-failed": true })),
      ),
      this.#empty,
      this.#scroller,
    );
    this.#scroller.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.#scroller.addEventListener("keydown", (event) => this.#onKeyDown(event));
    for (const type of ["wheel", "touchmove", "pointerdown", "focusin"]) {
      this.#scroller.addEventListener(type, () => (this.#followsWork = false), { passive: true });
    }
    this.#resizeObserver.observe(this.#scroller);
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.#resizeObserver.disconnect();
  }

  /**
   * Show the sheets of a job.
   *
   * @param {import("../model/job.js").Job} job
   */
  show(job) {
    this.#job = job;
    this.#rows = ganttRows(job.movements);
    const numbers = this.#numbers;
    setText(this.#empty, "No sheets yet.");
    this.#empty.hidden = numbers.length > 0;
    this.#stalledLegend.hidden = !job.status?.stalled?.length;
    this.#workLegend.hidden = job.isOver || !job.sheets.some(hasBegun);
    this.#scroller.hidden = numbers.length === 0;
    if (this.#tabStop === null || !numbers.includes(this.#tabStop)) {
      this.#tabStop = numbers[0] ?? null;
    }
    this.#schedule();
  }

  /**
   * Bring the sheets at work into view, or at least the first of them.
   *
   * @param {import("../model/job.js").Job} job
   */
  #showWork({ sheets }) {
    const numbers = sheets.filter(hasBegun).map(({ number }) => number);
    const [first, last] = [numbers[0], numbers[numbers.length - 1]];
    const shown = `${first} to ${last}`;
    if (!numbers.length || shown === this.#shownWork || !this.#scroller.clientHeight) return;
    this.#shownWork = shown;
    this.#reveal(last);
    this.#reveal(first);
    this.#tabStop = first;
  }

  /**
   * Mark a sheet as chosen, and bring it into view.
   *
   * @param {number | null} number
   */
  select(number) {
    this.#selected = number;
    if (number === null) {
      this.#schedule();
      return;
    }
    this.#tabStop = number;
    this.#reveal(number);
    this.#draw();
    // On a small screen the panel covers a part of the page.
    this.#drawn.get(number)?.button.scrollIntoView({ block: "nearest" });
  }

  /** Focus the row that Tab reaches. */
  focus() {
    if (this.#tabStop !== null) this.#focusRow(this.#tabStop);
  }

  /** Draw anew, as time has passed. */
  tick() {
    this.#schedule();
  }

  get #numbers() {
    return this.#rows.flatMap(({ sheet }) => (sheet ? [sheet.number] : []));
  }

  /** Keep the row that Tab reaches in view: notices and events come later and take room of the chart. */
  #onResize() {
    const top = this.#scroller.scrollTop;
    const row = this.#rowSpan(this.#tabStop);
    if (row && row.top >= top && row.bottom <= top + this.#height) this.#reveal(this.#tabStop);
    this.#height = this.#scroller.clientHeight;
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const job = this.#job;
    const { status, sheets } = job ?? {};
    if (!job || !status || !sheets?.length) return;
    if (this.#followsWork && this.#selected === null && !job.isOver) this.#showWork(job);
    const span = ganttSpan(status, sheets, job.sheetsUntil(this.#page.clock), job.goesOn);
    this.#drawAxis(span);
    // A sheet of a job that does not go on ran no longer than the job.
    this.#drawRows(span, span?.now ?? span?.to ?? NaN);
  }

  /** @param {ReturnType<typeof ganttSpan>} span */
  #drawAxis(span) {
    this.#nowLine.hidden = this.#nowLegend.hidden = !span?.now;
    if (!span) {
      this.#axis.replaceChildren();
      return;
    }
    const { times, clock } = this.#page;
    const share = (/** @type {number} */ at) =>
      `${(100 * (at - span.from)) / (span.to - span.from)}%`;
    if (span.now) this.#nowLine.style.left = share(span.now);
    setAttribute(this.#nowLine, "data-live", String(clock.isLive));
    const offset = times.zoneOffset(span.from);
    const countTicks = (/** @type {number} */ width) =>
      Math.max(1, Math.floor(this.#axis.clientWidth / width));
    let ticks = ganttTicks(span, countTicks(TICK_WIDTH_PX), offset);
    if (ticks.step < 1000) ticks = ganttTicks(span, countTicks(TENTH_WIDTH_PX), offset);
    while (this.#axis.children.length > ticks.times.length) this.#axis.lastChild?.remove();
    ticks.times.forEach((at, index) => {
      const tick =
        /** @type {HTMLElement | undefined} */ (this.#axis.children[index]) ??
        this.#axis.appendChild(h("span.tick"));
      setText(tick, times.axisTime(at, ticks.step));
      tick.style.left = share(at);
    });
  }

  /**
   * @param {ReturnType<typeof ganttSpan>} span
   * @param {number} end of sheets that have none.
   */
  #drawRows(span, end) {
    const rem = remInPixels();
    const { scrollTop, clientHeight } = this.#scroller;
    this.#list.style.height = `${this.#rows.length * ROW_REM}rem`;
    const visible = new Set(visibleRows(this.#rows, scrollTop / rem, clientHeight / rem));
    // The row with the focus stays drawn, or the focus would be lost.
    const drawn = this.#rows.filter(
      (row) => visible.has(row) || row.sheet?.number === this.#tabStop,
    );
    const numbers = new Set(drawn.map(({ sheet }) => sheet?.number));
    for (const number of this.#drawn.keys()) if (!numbers.has(number)) this.#drawn.delete(number);
    setChildren(
      this.#list,
      drawn.map((row) => this.#drawRow(row, span, end)),
    );
  }

  /**
   * @param {Row} row
   * @param {ReturnType<typeof ganttSpan>} span
   * @param {number} end
   */
  #drawRow({ heading, sheet, top }, span, end) {
    if (!sheet) {
      const element = this.#headings.get(top) ?? h("h3.movement");
      this.#headings.set(top, element);
      setText(element, heading);
      return place(element, top);
    }
    const { number } = sheet;
    const row = this.#drawn.get(number) ?? new GanttRow(number, (chosen) => this.#toggle(chosen));
    this.#drawn.set(number, row);
    const { from, to } = sheetSpan(sheet, end);
    const format = isActive(sheet.status) ? formatDuration : formatShortDuration;
    row.update({
      sheet,
      isPast: this.#job?.isPast(sheet) ?? false,
      segments: sheetSegments(sheet, this.#job?.history.get(number) ?? [], end),
      words: missingBarWords(sheet, end, this.#page.times),
      span,
      duration: format(to - from),
      isSelected: number === this.#selected,
      isStalled: this.#job?.status?.stalled?.includes(number) ?? false,
      isTabStop: number === this.#tabStop,
    });
    return place(row.element, top);
  }

  /** @param {number} number */
  #toggle(number) {
    this.#tabStop = number;
    this.#onSelect(number === this.#selected ? null : number);
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#tabStop === null) return;
    const numbers = this.#numbers;
    const index = numbers.indexOf(this.#tabStop);
    const starts = this.#movementStarts();
    /** @type {Record<string, number | undefined>} */
    const targets = {
      ArrowDown: numbers[index + 1],
      ArrowUp: numbers[index - 1],
      ArrowRight: starts.find((start) => numbers.indexOf(start) > index),
      ArrowLeft: starts.findLast((start) => numbers.indexOf(start) < index),
      Home: numbers[0],
      End: numbers.at(-1),
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    const target = targets[event.key];
    if (target === undefined) return;
    this.#focusRow(target);
    if (this.#selected !== null) this.#onSelect(target);
  }

  /** Return the numbers of the first sheets of the movements. */
  #movementStarts() {
    return this.#rows.flatMap(({ heading }, index) => {
      const first = heading ? this.#rows[index + 1]?.sheet : null;
      return first ? [first.number] : [];
    });
  }

  /** @param {number} number */
  #focusRow(number) {
    this.#tabStop = number;
    this.#reveal(number);
    this.#draw();
    this.#drawn.get(number)?.button.focus({ preventScroll: true });
  }

  /**
   * Scroll to the row of a sheet, unless it is in view.
   *
   * @param {number | null} number
   */
  #reveal(number) {
    const row = this.#rowSpan(number);
    if (!row) return;
    this.#list.style.height = `${this.#rows.length * ROW_REM}rem`;
    const { scrollTop, clientHeight } = this.#scroller;
    if (row.top < scrollTop) this.#scroller.scrollTop = row.top;
    else if (row.bottom > scrollTop + clientHeight) {
      this.#scroller.scrollTop = row.bottom - clientHeight;
    }
    this.#height = clientHeight;
  }

  /**
   * Return the place of a row in the chart with the axis, which covers the first row, in pixels.
   *
   * @param {number | null} number of the sheet.
   */
  #rowSpan(number) {
    const row = this.#rows.find(({ sheet }) => sheet && sheet.number === number);
    const rem = remInPixels();
    return row && { top: row.top * rem, bottom: (row.top + 2 * ROW_REM) * rem };
  }
}

/**
 * Return true if a sheet is at work, or waits after it has begun.
 *
 * @param {Sheet} sheet
 */
function hasBegun({ status, started_at: startedAt }) {
  return isAtWork(status) || (Boolean(startedAt) && isActive(status));
}

/**
 * @param {string} text
 * @param {HTMLElement} mark
 */
function makeLegend(text, mark) {
  return h("span.legend", {}, mark, text);
}

/**
 * @template {HTMLElement} E
 * @param {E} element
 * @param {number} top in rem.
 */
function place(element, top) {
  element.style.transform = `translateY(${top}rem)`;
  return element;
}

function remInPixels() {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}
