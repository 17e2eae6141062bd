/** Summary of what happened between the reader's last visit in this browser and this one. */

import { plainText } from "../model/ansi.js";
import { jobUrl } from "../model/page_urls.js";
import { statusTone } from "../model/status.js";
import { summaryHeadline, summaryLines } from "../model/visits.js";
import { h } from "./dom.js";
import { makeIcon } from "./icons.js";

/** @typedef {import("../model/visits.js").SummaryLine} SummaryLine */

export class VisitSummary {
  #page;
  /** @type {import("../model/visits.js").Summary | null} */
  #shown = null;
  element = h("section.visit-summary", { hidden: true, "aria-label": "While you were away" });

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
    this.draw();
  }

  /** Show the summary if it is another one. */
  update() {
    if (this.#page.visits.summary !== this.#shown) this.draw();
  }

  /** Show the summary, with its times in the chosen time zone. */
  draw() {
    const { visits, times } = this.#page;
    const { summary, visit } = visits;
    this.#shown = summary;
    this.element.hidden = summary === null;
    if (summary === null || !visit?.since) return;
    const lines = summaryLines(summary);
    const absence = times.shortSpan(visit.since, visit.began);
    const headline = h(
      "span",
      {},
      h("strong", {}, "While you were away"),
      ` (${absence}): ${summaryHeadline(summary)}.`,
      summary.complete ? null : " There may be more.",
    );
    const close = h(
      "button.quiet.icon-only",
      { type: "button", title: "Hide the summary", onclick: () => this.#dismiss() },
      makeIcon("close"),
      h("span.visually-hidden", {}, "Hide the summary"),
    );
    const list = h(
      "ul",
      {},
      lines.map((line) => this.#makeLine(line)),
    );
    const details = h("details", {}, h("summary", {}, headline), list);
    this.element.replaceChildren(lines.length ? details : h("p", {}, headline), close);
  }

  /** @param {SummaryLine} line */
  #makeLine({ jobId, status, at, text }) {
    const url = jobUrl(jobId);
    const name = plainText(jobId);
    const tone = status === "stalled" ? "paused" : statusTone(status);
    return h(
      "li",
      { "data-tone": tone },
      makeIcon(tone),
      h("time", {}, this.#page.times.shortDateTime(at)),
      url ? h("a", { href: url, "data-page": true }, name) : h("span", {}, name),
      h("span.text", { title: text }, text),
    );
  }

  #dismiss() {
    this.#page.visits.dismiss();
    this.draw();
    this.#page.main.focus({ preventScroll: true });
  }
}
