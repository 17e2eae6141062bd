/** How many sheets were completed when, as a line drawn from what has been seen. */

import { h } from "./dom.js";

const WIDTH = 400;
const HEIGHT = 84;
const EDGE = 4;

/** The line. */
export class ProgressLine {
  #svg = h("svg.line-chart", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    preserveAspectRatio: "none",
  });
  #from = h("span");
  #to = h("span");
  #page;

  /** @param {object} page has the clock and the times. */
  constructor(page) {
    this.#page = page;
    this.element = h(
      "section.panel.over-time",
      { "aria-labelledby": "over-time-heading" },
      h("h2", { id: "over-time-heading" }, "Progress"),
      this.#svg,
      h("div.ends", {}, this.#from, this.#to),
    );
  }

  /**
   * Draws what was seen.
   *
   * @param {{at: number, completed: number, total: number}[]} seen
   * @param {{startedAt: number, endedAt: number}} span of the run; NaN where it is not known.
   */
  show(seen, { startedAt, endedAt }) {
    const last = seen.at(-1);
    if (!last) return;
    const { clock, times } = this.#page;
    const isOver = endedAt >= last.at || endedAt < seen[0].at;
    const to = isOver ? endedAt : clock.knownUntil() || last.at;
    const from = Math.min(startedAt || seen[0].at, seen[0].at);
    const span = Math.max(1000, to - from);
    const x = (at) => EDGE + ((Math.min(at, to) - from) / span) * (WIDTH - 2 * EDGE);
    const y = (done) => HEIGHT - EDGE - (done / (last.total || 1)) * (HEIGHT - 2 * EDGE);
    const first = seen[0];
    const steps = seen.map(({ at, completed }, index) => {
      const before = seen[index - 1] ?? first;
      return `L${x(at)} ${y(before.completed)}L${x(at)} ${y(completed)}`;
    });
    const known = `M${x(first.at)} ${y(first.completed)}${steps.join("")}L${x(to)} ${y(last.completed)}`;
    const floor = y(0);
    this.#svg.replaceChildren(
      h("title", {}, `${last.completed} of ${last.total} sheets at ${times.clock(last.at)}`),
      h("line.floor", { x1: EDGE, y1: floor, x2: WIDTH - EDGE, y2: floor }),
      h("line.ceiling", { x1: EDGE, y1: EDGE, x2: WIDTH - EDGE, y2: EDGE }),
      h("path.area", { d: `${known}L${x(to)} ${floor}L${x(first.at)} ${floor}Z` }),
      // What was before one looked is not known.
      h("path.guess", { d: `M${x(from)} ${floor}L${x(first.at)} ${y(first.completed)}` }),
      h("path.known", { d: known }),
    );
    this.#from.textContent = times.clock(from);
    this.#to.textContent = endedAt || !clock.isLive ? times.clock(to) : "now";
  }
}
