/** Row of the Gantt chart: a button with the number of a sheet, its bar and its duration. */

import { barLabel, segmentLabel, sheetLabel } from "../model/gantt.js";
import { statusTone } from "../model/status.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/**
 * @typedef {object} GanttRowState
 * @property {import("../model/job.js").Sheet} sheet
 * @property {import("../model/gantt.js").Segment[]} segments
 * @property {string} words why there is no bar; "" if there is one, or none is to be expected.
 * @property {{from: number, to: number} | null} span of the chart.
 * @property {string} duration "" if it is unknown.
 * @property {boolean} isPast the job was deleted while the sheet was active.
 * @property {boolean} isSelected
 * @property {boolean} isStalled
 * @property {boolean} isTabStop
 */

export class GanttRow {
  #track = h("span.track", { "aria-hidden": "true" });
  #words = h("span.missing-bar", { "aria-hidden": "true" });
  #duration = h("span.duration");

  /**
   * @param {number} number of the sheet.
   * @param {(number: number) => void} onClick
   */
  constructor(number, onClick) {
    this.number = number;
    this.button = h(
      "button.sheet",
      { type: "button", "aria-controls": "sheet-panel", onclick: () => onClick(number) },
      makeIcon("unknown"),
      h("span.number", {}, String(number)),
      this.#track,
    );
    this.element = h("div.gantt-row", {}, this.button, this.#words, this.#duration);
  }

  /** @param {GanttRowState} state */
  update({ sheet, isPast, segments, words, span, duration, isSelected, isStalled, isTabStop }) {
    const { button } = this;
    const tone = isPast ? "unknown" : statusTone(sheet.status);
    if (button.dataset.tone !== tone) {
      setAttribute(button, "data-tone", tone);
      button.firstChild?.replaceWith(makeIcon(tone));
    }
    const state = isStalled ? "may be stuck" : "";
    // A name that changes each second would be read again and again.
    const label = [
      sheetLabel(sheet, { duration: sheet.completed_at ? duration : "", isPast }),
      barLabel(segments),
      words,
      state,
    ]
      .filter(Boolean)
      .join(", ");
    setAttribute(button, "aria-label", label);
    setAttribute(button, "title", label);
    setAttribute(button, "aria-expanded", String(isSelected));
    setAttribute(button, "data-stalled", isStalled);
    button.tabIndex = isTabStop ? 0 : -1;
    setText(this.#words, words);
    setText(this.#duration, duration);
    this.#updateSegments(segments, span);
  }

  /**
   * @param {GanttRowState["segments"]} segments
   * @param {GanttRowState["span"]} span
   */
  #updateSegments(segments, span) {
    const shown = span ? segments : [];
    while (this.#track.children.length > shown.length) this.#track.lastChild?.remove();
    shown.forEach((segment, index) => {
      const { kind, from, to, isFailed } = segment;
      const { from: start, to: end } = /** @type {{from: number, to: number}} */ (span);
      const part =
        /** @type {HTMLElement | undefined} */ (this.#track.children[index]) ??
        this.#track.appendChild(h("span.segment"));
      setAttribute(part, "data-kind", kind);
      setAttribute(part, "data-failed", isFailed);
      setAttribute(part, "title", segmentLabel(segment));
      const share = (/** @type {number} */ at) => (100 * (at - start)) / (end - start);
      part.style.left = `${share(from)}%`;
      part.style.width = `${share(to) - share(from)}%`;
    });
  }
}
