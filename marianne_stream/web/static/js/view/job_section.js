/** Section of the job list: a heading and rows, of which only those near the visible part are drawn. */

import { RowHeights } from "../model/row_heights.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { JobRow } from "./job_row.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */
/** @typedef {{top: number, bottom: number}} Span of the window, in its own coordinates. */

/** Height above and below the window in which rows are drawn, in pixels. */
const MARGIN_PX = 400;

export class JobSection {
  #page;
  #onSeen;
  #count = h("span.count");
  #list;
  /** @type {RosterEntry[]} */
  #jobs = [];
  #heights = new RowHeights();
  /** @type {Map<string, number>} index of each job. */
  #indices = new Map();
  /** @type {Map<string, JobRow>} the rows that are drawn. */
  #rows = new Map();
  /** Text beside the heading. */
  detail = h("span.detail");

  /**
   * @param {{key: string, label: string}} section
   * @param {import("./page.js").Page} page
   * @param {(job: RosterEntry) => void} onSeen
   */
  constructor({ key, label }, page, onSeen) {
    this.#page = page;
    this.#onSeen = onSeen;
    const id = `section-${key}`;
    this.#list = h("ul.jobs", { role: "list", "aria-labelledby": id });
    this.element = h(
      "section.job-section",
      { "data-section": key, hidden: true, "aria-labelledby": id },
      h("div.section-head", {}, h("h2", { id }, label, " ", this.#count), this.detail),
      this.#list,
    );
  }

  get jobs() {
    return this.#jobs;
  }

  /**
   * Set the jobs, in order; they are drawn by the next `draw`.
   *
   * @param {RosterEntry[]} jobs
   * @param {(job: RosterEntry) => number} heightOf in pixels.
   */
  setJobs(jobs, heightOf) {
    this.#jobs = jobs;
    this.#indices = new Map(jobs.map(({ job_id: id }, index) => [id, index]));
    this.#heights.reset(jobs.map(heightOf));
    this.element.hidden = jobs.length === 0;
    setText(this.#count, jobs.length.toLocaleString("en"));
    // Without the border of the last row: the list has its own.
    this.#list.style.height = `${Math.max(0, this.#heights.total - 1)}px`;
  }

  /** Return the position of the list in the window. */
  measure() {
    return this.#list.getBoundingClientRect().top;
  }

  /**
   * Draw the rows of a part of the window.
   *
   * @param {number} listTop result of `measure`.
   * @param {number} windowHeight
   * @param {string[]} keptIds jobs whose rows are drawn wherever they are.
   */
  draw(listTop, windowHeight, keptIds) {
    const wanted = this.#indicesInWindow(listTop, windowHeight);
    for (const jobId of keptIds) {
      const index = this.#indices.get(jobId);
      if (index !== undefined) wanted.add(index);
    }
    for (const jobId of this.#rows.keys()) {
      if (!wanted.has(this.#indices.get(jobId) ?? -1)) this.#rows.delete(jobId);
    }
    const indices = [...wanted].sort((a, b) => a - b);
    const elements = indices.map((index) => this.#drawRow(index));
    setChildren(this.#list, elements);
  }

  /** Rows that are drawn. */
  get rows() {
    return this.#rows.values();
  }

  /**
   * @param {number} listTop
   * @param {number} windowHeight
   * @returns {Set<number>}
   */
  #indicesInWindow(listTop, windowHeight) {
    /** @type {Set<number>} */
    const indices = new Set();
    const top = -listTop - MARGIN_PX;
    const bottom = windowHeight - listTop + MARGIN_PX;
    if (!this.#jobs.length || bottom < 0 || top > this.#heights.total) return indices;
    const last = this.#heights.indexAt(bottom);
    for (let at = this.#heights.indexAt(Math.max(0, top)); at <= last; at += 1) indices.add(at);
    return indices;
  }

  /** @param {number} index */
  #drawRow(index) {
    const job = this.#jobs[index];
    const row = this.#rows.get(job.job_id) ?? new JobRow(job.job_id, this.#page, this.#onSeen);
    this.#rows.set(job.job_id, row);
    row.show(job);
    const { element } = row;
    element.style.transform = `translateY(${this.#heights.offset(index)}px)`;
    element.style.height = `${this.#heights.get(index)}px`;
    setAttribute(element, "aria-setsize", this.#jobs.length);
    setAttribute(element, "aria-posinset", index + 1);
    return element;
  }
}
