/** Progress chart: completed sheets over time, as far as this page has received them. */

import { h } from "./dom.js";

const WIDTH = 400;
const HEIGHT = 84;
const PADDING = 4;

export class ProgressChart {
  #svg = h("svg.progress-chart", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    preserveAspectRatio: "none",
  });
  #from = h("span");
  #to = h("span");
  #page;

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
    this.element = h(
      "section.panel.over-time",
      { "aria-labelledby": "over-time-heading" },
      h("h2", { id: "over-time-heading" }, "Progress"),
      this.#svg,
      h("div.chart-range", {}, this.#from, this.#to),
    );
  }

  /**
   * Draw the chart.
   *
   * @param {import("../model/job.js").ProgressPoint[]} points
   * @param {{startedAt: number, endedAt: number}} run NaN if unknown.
   */
  show(points, { startedAt, endedAt }) {
    const first = points[0];
    const last = points.at(-1);
    if (!first || !last) return;
    const { clock, times } = this.#page;
    const isOver = endedAt >= last.at || endedAt < first.at;
    const to = isOver ? endedAt : clock.knownUntil() || last.at;
    const from = Math.min(startedAt || first.at, first.at);
    const span = Math.max(1000, to - from);
    const x = (/** @type {number} */ at) =>
      PADDING + ((Math.min(at, to) - from) / span) * (WIDTH - 2 * PADDING);
    const y = (/** @type {number} */ completed) =>
      HEIGHT - PADDING - (completed / (last.total || 1)) * (HEIGHT - 2 * PADDING);
    const steps = points.map(({ at, completed }, index) => {
      const before = points[index - 1] ?? first;
      return `L${x(at)} ${y(before.completed)}L${x(at)} ${y(completed)}`;
    });
    const known = `M${x(first.at)} ${y(first.completed)}${steps.join("")}L${x(to)} ${y(last.completed)}`;
    const floor = y(0);
    this.#svg.replaceChildren(
      h("title", {}, `${last.completed} of ${last.total} sheets at ${times.timeOfDay(last.at)}`),
      h("line.floor", { x1: PADDING, y1: floor, x2: WIDTH - PADDING, y2: floor }),
      h("line.ceiling", { x1: PADDING, y1: PADDING, x2: WIDTH - PADDING, y2: PADDING }),
      h("path.area", { d: `${known}L${x(to)} ${floor}L${x(first.at)} ${floor}Z` }),
      // Before the page was opened, the progress is unknown.
      h("path.estimated", { d: `M${x(from)} ${floor}L${x(first.at)} ${y(first.completed)}` }),
      h("path.known", { d: known }),
    );
    this.#from.textContent = times.timeOfDay(from);
    this.#to.textContent = endedAt || !clock.isLive ? times.timeOfDay(to) : "now";
  }
}
