/** Strip of a job's sheets, with their number. */

import { MAX_CELLS, stripParts, stripText } from "../model/job_strip.js";
import { h, setAttribute, setText } from "./dom.js";

/** @typedef {import("../model/roster.js").RosterEntry} RosterEntry */

export class JobStrip {
  #strip = h("span.strip", { role: "progressbar", "aria-valuemin": 0, "aria-label": "Sheets" });
  #count = h("span.count");
  /** Parts that are drawn, as JSON. */
  #drawn = "";
  element = h("span.sheet-strip", {}, this.#strip, this.#count);

  /**
   * Show the sheets of a job.
   *
   * @param {RosterEntry} job
   */
  show(job) {
    const { completed_sheets: completed = null, total_sheets: total } = job;
    setAttribute(this.#strip, "aria-valuemax", total || null);
    setAttribute(this.#strip, "aria-valuenow", total && completed !== null ? completed : null);
    setAttribute(this.#strip, "aria-valuetext", stripText(job));
    setAttribute(this.element, "title", stripText(job));
    setAttribute(this.element, "data-empty", !total);
    setText(this.#count, total ? `${completed ?? "?"} / ${total}` : "–");
    const parts = stripParts(job);
    const drawn = JSON.stringify(parts);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#strip.style.setProperty("--cells", String(total));
    setAttribute(this.#strip, "data-cells", Boolean(total && total <= MAX_CELLS));
    this.#strip.replaceChildren(...parts.map(({ kind, count }) => makePart(kind, count)));
  }
}

/**
 * @param {import("../model/job_strip.js").StripKind} kind
 * @param {number} count
 */
function makePart(kind, count) {
  const part = h("span.part", { "data-kind": kind });
  part.style.flexGrow = String(count);
  return part;
}
