/** Progress bar: number of completed sheets. */

import { h, setAttribute, setText } from "./dom.js";

export class ProgressBar {
  #fill = h("span.fill");
  #track = h(
    "span.track",
    { role: "progressbar", "aria-valuemin": 0, "aria-label": "Sheets" },
    this.#fill,
  );
  #count = h("span.count");
  element = h("span.progress", {}, this.#track, this.#count);

  /**
   * Show the progress of a job; "–" if it is unknown.
   *
   * @param {{completed_sheets?: number | null, total_sheets?: number | null}} job
   * @param {import("../model/status.js").Tone} tone
   */
  show({ completed_sheets: completed = null, total_sheets: total = null }, tone) {
    const share = total ? Math.min(1, (completed ?? 0) / total) : 0;
    this.#fill.style.transform = `scaleX(${share})`;
    setAttribute(this.#track, "data-tone", tone);
    setAttribute(this.#track, "aria-valuemax", total || null);
    setAttribute(this.#track, "aria-valuenow", total && completed !== null ? completed : null);
    const text = total ? `${completed ?? "?"} of ${total} sheets` : "unknown";
    setAttribute(this.#track, "aria-valuetext", text);
    setText(this.#count, total ? `${completed ?? "?"} / ${total}` : "–");
  }
}
