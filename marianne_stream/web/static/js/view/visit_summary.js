/** Summary of what has happened since the reader's last visit in this browser. */

import { plainText } from "../model/ansi.js";
import { jobUrl } from "../model/page_urls.js";
import { statusTone } from "../model/status.js";
import { continueVisit, summaryHeadline, summaryLines } from "../model/visits.js";
import { ApiError, getJson, withQuery } from "../wire/api.js";
import { h, setAttribute } from "./dom.js";
import { makeIcon } from "./icons.js";
import { load, save } from "./local_storage.js";

/** @typedef {import("../model/visits.js").Summary} Summary */

const KEY = "marianne-stream visit";

/** Interval at which the end of the visit is saved, while the page is visible. */
const SAVE_MS = 30_000;
const MAX_LINES = 12;

export class VisitSummary {
  #page;
  /** @type {number | null} time since which the summary is shown, or was requested. */
  #since = null;
  #savedAt = -Infinity;
  #closing = new AbortController();
  /** @type {Summary | null} */
  #summary = null;
  element = h("section.visit-summary", { hidden: true, "aria-label": "Since your last visit" });

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
  }

  /** Continue the visit, and load the summary once a new visit has begun. */
  tick() {
    const now = this.#page.clock.now();
    if (!this.#page.clock.isLive || document.visibilityState !== "visible") return;
    if (now - this.#savedAt < SAVE_MS) return;
    this.#savedAt = now;
    const visit = continueVisit(load(KEY, null), now);
    save(KEY, visit);
    if (visit.since !== this.#since) {
      this.#since = visit.since;
      this.#load();
    }
  }

  onTimeZoneChange() {
    this.#draw();
  }

  close() {
    this.#closing.abort();
  }

  async #load() {
    this.#summary = null;
    this.#draw();
    if (this.#since === null) return;
    const { signal } = this.#closing;
    const since = new Date(this.#since).toISOString();
    try {
      this.#summary = await getJson(withQuery("/api/summary", { since }), { signal });
      this.#draw();
    } catch (error) {
      // A server without history, or with a store that cannot be read, has no summary.
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  #dismiss() {
    this.#since = null;
    this.#summary = null;
    save(KEY, { since: null, at: this.#page.clock.now() });
    this.#draw();
    this.#page.main.focus({ preventScroll: true });
  }

  #draw() {
    const summary = this.#summary;
    this.element.hidden = summary === null;
    if (summary === null || this.#since === null) return;
    const lines = summaryLines(summary);
    const since = this.#page.times.shortDateTime(this.#since);
    const headline = h(
      "span",
      {},
      h("strong", {}, `Since your last visit (${since}): `),
      `${summaryHeadline(summary)}.`,
      summary.complete ? null : " There may be more.",
    );
    const close = h(
      "button.quiet.icon-only",
      { type: "button", title: "Hide the summary", onclick: () => this.#dismiss() },
      makeIcon("close"),
      h("span.visually-hidden", {}, "Hide the summary"),
    );
    const details = h("details", {}, h("summary", {}, headline), makeLines(lines));
    this.element.replaceChildren(lines.length ? details : h("p", {}, headline), close);
  }
}

/** @param {import("../model/visits.js").SummaryLine[]} lines */
function makeLines(lines) {
  const items = lines.slice(0, MAX_LINES).map(({ jobId, status, text }) => {
    const url = jobUrl(jobId);
    const name = plainText(jobId);
    const item = h(
      "li",
      {},
      makeIcon(status === "stalled" ? "paused" : statusTone(status)),
      url ? h("a", { href: url, "data-page": true }, name) : h("span", {}, name),
      h("span.text", {}, text),
    );
    setAttribute(item, "data-tone", status === "stalled" ? "paused" : statusTone(status));
    return item;
  });
  const more = lines.length - MAX_LINES;
  return h("ul", {}, items, more > 0 ? h("li", {}, `and ${more} more`) : null);
}
