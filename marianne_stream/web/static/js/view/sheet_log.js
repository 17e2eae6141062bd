/** Part of the sheet panel: the last lines of the log that were written while the sheet ran. */

import { plainText } from "../model/ansi.js";
import { parseLine } from "../model/log_line.js";
import { lineTime } from "../model/log_line_time.js";
import { isTransient } from "../model/request_errors.js";
import { spanLines } from "../model/sheet_log.js";
import { ApiError, getJson, jobPath, withQuery } from "../wire/api.js";
import { h, setText } from "./dom.js";

/** @typedef {import("../model/log_rows.js").LogPageLine} LogPageLine */
/** @typedef {{from: number, to: number, isActive: boolean}} SheetSpan */

/** Number of lines that are shown; half a page of the log is before the end of the span. */
const MAX_LINES = 100;

/** Characters that are shown of a line. */
const MAX_LINE_CHARS = 1_000;

/** Spans whose ends are named to the millisecond. */
const SHORT_MS = 10_000;

/** Time after which the lines of a sheet at work, or after an error, are requested again. */
const RELOAD_MS = 5_000;

export class SheetLog {
  #page;
  #jobId;
  /** @type {SheetSpan | null} */
  #span = null;
  /** @type {LogPageLine[]} */
  #lines = [];
  #isComplete = false;
  #requestedAt = -Infinity;
  #isFinal = false;
  /** True if the job has no log: the view of the log says so. */
  #isMissing = false;
  /** @type {AbortController | null} */
  #request = null;
  #note = h("p.muted");
  #list = h("ol.sheet-log-lines", {
    role: "list",
    tabindex: 0,
    "aria-label": "Lines of the log while the sheet ran",
  });

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   * @param {(time: string) => void} onShow the reader wants to see the log from a time, ISO 8601.
   */
  constructor(page, jobId, onShow) {
    this.#page = page;
    this.#jobId = jobId;
    const show = () => onShow(new Date(this.#span?.from ?? NaN).toISOString());
    this.element = h(
      "section.sheet-log",
      { hidden: true, "aria-label": "Log of the sheet" },
      h(
        "div.bar",
        {},
        h("h3", {}, "Log while it ran"),
        h("button.quiet", { type: "button", onclick: show }, "Show in the log"),
      ),
      this.#note,
      this.#list,
    );
  }

  /**
   * Show the lines of a span.
   *
   * @param {SheetSpan} span `from` is NaN if it is unknown, `to` if it is unknown or not over.
   */
  show(span) {
    const known = this.#span;
    const { from, to, isActive } = span;
    this.#span = span;
    if (!(isActive ? from : to >= from)) {
      this.element.hidden = true;
      this.close();
      return;
    }
    this.element.hidden = this.#isMissing;
    const isSameEnd = isActive || known?.to === to;
    const isSame = known?.from === from && known.isActive === isActive && isSameEnd;
    if (!isSame) this.#reset();
    else if (!this.#isFinal && this.#isReloadDue()) this.#load();
  }

  onTimeZoneChange() {
    this.#draw();
  }

  /** End the request in progress, and forget the lines. */
  close() {
    this.#request?.abort();
    this.#span = null;
    this.#lines = [];
    this.#list.replaceChildren();
  }

  #isReloadDue() {
    const isVisible = document.visibilityState === "visible";
    return isVisible && Date.now() - this.#requestedAt >= RELOAD_MS;
  }

  #reset() {
    this.#lines = [];
    this.#list.replaceChildren();
    setText(this.#note, "Loading …");
    this.#load();
  }

  async #load() {
    const span = this.#span;
    if (!span) return;
    this.#request?.abort();
    const { signal } = (this.#request = new AbortController());
    this.#requestedAt = Date.now();
    this.#isFinal = !span.isActive;
    const time = span.isActive ? null : new Date(span.to).toISOString();
    const path = jobPath(this.#jobId, "logs", "lines");
    let localOffset = "Z";
    const onHeaders = (/** @type {Headers} */ headers) =>
      (localOffset = headers.get("Local-Time-Offset") ?? localOffset);
    try {
      const query = withQuery(path, { time, limit: 2 * MAX_LINES });
      const page = await getJson(query, { signal, onHeaders });
      const to = span.isActive ? Infinity : span.to;
      const { lines, isComplete } = spanLines(page, { ...span, to }, localOffset);
      this.#isMissing = this.element.hidden = false;
      this.#lines = lines.slice(-MAX_LINES);
      this.#isComplete = isComplete && lines.length <= MAX_LINES;
      this.#draw();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#isFinal = !span.isActive && !isTransient(error);
      this.#isMissing = this.element.hidden = error.code === "log_not_found";
      setText(this.#note, plainText(error.message));
    }
  }

  #draw() {
    const shown = this.#lines;
    const { from, to, isActive } = this.#span ?? { from: NaN, to: NaN, isActive: false };
    const { times } = this.#page;
    const isShort = to - from < SHORT_MS;
    const format = (/** @type {number} */ at) =>
      isShort ? times.preciseTimeOfDay(at) : times.timeOfDay(at);
    const span = `${format(from)} to ${isActive ? "now" : format(to)}`;
    const last = shown.length === 1 ? "The last line" : `The last ${shown.length} lines`;
    const count = this.#isComplete ? "Lines" : last;
    setText(
      this.#note,
      shown.length
        ? `${count} from ${span}, including those of sheets that ran at the same time.`
        : `The log has no lines with a time from ${span}.`,
    );
    this.#list.hidden = shown.length === 0;
    this.#list.replaceChildren(...shown.map((line) => makeRow(line, times)));
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

/**
 * @param {LogPageLine} line
 * @param {import("../model/time_format.js").TimeFormat} times
 */
function makeRow({ line, level, logged_at: loggedAt }, times) {
  const known = { level: level ?? "", loggedAt: loggedAt ?? "" };
  const { runs, fields } = parseLine(line, known, MAX_LINE_CHARS);
  const { text, title } = lineTime(known, times);
  const message = runs.map((run) => run.text).join("");
  const rest = fields.map(([name, value]) => `${name}=${value}`).join(" ");
  return h(
    "li",
    { "data-level": level || null },
    h("time", { title: title || null }, text),
    h("span.text", {}, [message, rest].filter(Boolean).join(" ").slice(0, MAX_LINE_CHARS)),
  );
}
