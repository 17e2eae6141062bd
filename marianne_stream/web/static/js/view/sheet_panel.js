/** Panel with everything that is known of the chosen sheet. */

import { plainText } from "../model/ansi.js";
import { isActive, sheetSpan } from "../model/gantt.js";
import { isTransient } from "../model/request_errors.js";
import { formatAttempt, listValidations, sheetFacts, sheetOutputs } from "../model/sheet_detail.js";
import { statusTone } from "../model/status.js";
import { formatDuration, formatShortDuration } from "../model/time_format.js";
import { ApiError, getJson, jobPath } from "../wire/api.js";
import { makeCopyButton } from "./copy_button.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { SheetFiles } from "./sheet_files.js";
import { SheetLog } from "./sheet_log.js";
import { StatusBadge } from "./status_badge.js";

/** @typedef {import("../model/job.js").Job} Job */
/** @typedef {import("../model/job.js").Sheet} Sheet */
/** @typedef {import("../model/sheet_detail.js").SheetDetail} SheetDetail */

/** Time after a change in which further ones cause no request of their own. */
const DEBOUNCE_MS = 300;

/** Time after which details are requested again that could not be read. */
const RETRY_MS = 5_000;

/** @type {Record<string, string>} */
const VALIDATION_TONES = { true: "completed", false: "failed", null: "unknown" };

export class SheetPanel {
  #page;
  #jobId;
  /** @type {Sheet | null} */
  #sheet = null;
  /** @type {SheetDetail | null} */
  #detail = null;
  /** State for which the details were requested. */
  #requested = "";
  #failure = "";
  #retryAt = Infinity;
  #shown = "";
  /** @type {Job | null} */
  #job = null;
  /** @type {AbortController | null} */
  #request = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #heading = h("h2", { id: "sheet-panel-heading" });
  #status = new StatusBadge();
  #duration = h("span.duration");
  #attempt = h("span.attempt");
  #details = h("div.sheet-details");
  #log;
  #files;
  #body;

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   * @param {{onClose: () => void, onShowLog: (time: string) => void}} on `onShowLog` shows the log from a
   *   time, ISO 8601.
   */
  constructor(page, jobId, { onClose, onShowLog }) {
    this.#page = page;
    this.#jobId = jobId;
    this.#log = new SheetLog(page, jobId, onShowLog);
    this.#files = new SheetFiles(jobId);
    this.#body = h(
      "div.sheet-panel-body",
      { tabindex: 0, role: "group", "aria-label": "Details" },
      this.#details,
      this.#files.element,
      this.#log.element,
    );
    this.element = h(
      "section.panel.sheet-panel",
      { id: "sheet-panel", hidden: true, "aria-labelledby": "sheet-panel-heading" },
      h(
        "div.sheet-panel-head",
        {},
        this.#heading,
        this.#status.element,
        this.#duration,
        this.#attempt,
        h(
          "button.quiet.icon-only",
          { type: "button", title: "Close (Esc)", onclick: onClose },
          makeIcon("close"),
          h("span.visually-hidden", {}, "Close the details of the sheet"),
        ),
      ),
      this.#body,
    );
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /** End all requests. */
  close() {
    this.#cancel();
    this.#log.close();
    this.#files.close();
  }

  /**
   * Show a sheet; nothing if there is none.
   *
   * @param {Sheet | undefined} sheet
   * @param {Job} job
   */
  show(sheet, job) {
    this.element.hidden = !sheet;
    if (!sheet) {
      this.close();
      this.#requested = "";
      this.#sheet = null;
      return;
    }
    this.#job = job;
    const state = JSON.stringify([job.status?.run, sheet]);
    const isNew = sheet.number !== this.#sheet?.number;
    if (isNew) {
      this.#detail = null;
      this.#failure = "";
      this.#body.scrollTop = 0;
    }
    this.#sheet = sheet;
    if (state !== this.#requested) this.#requestDetail(state, isNew ? 0 : DEBOUNCE_MS);
    this.#draw();
  }

  /** Update what changes with time. */
  tick() {
    const sheet = this.#sheet;
    if (!sheet || !this.#job) return;
    const { from, to } = sheetSpan(sheet, this.#job.sheetsUntil(this.#page.clock));
    const format = isActive(sheet.status) ? formatDuration : formatShortDuration;
    setText(this.#duration, format(to - from));
    this.#log.show({ from, to, isActive: isActive(sheet.status) });
    this.#files.show(sheet, isActive(sheet.status));
    const isVisible = document.visibilityState === "visible";
    if (this.#failure && isVisible && Date.now() >= this.#retryAt) {
      this.#retryAt = Infinity;
      this.#requestDetail(this.#requested, 0);
    }
  }

  onTimeZoneChange() {
    this.#draw();
    this.#log.onTimeZoneChange();
  }

  #cancel() {
    clearTimeout(this.#timer);
    this.#request?.abort();
  }

  /**
   * @param {string} state
   * @param {number} delay
   */
  #requestDetail(state, delay) {
    this.#cancel();
    this.#requested = state;
    const request = new AbortController();
    this.#request = request;
    this.#timer = setTimeout(() => this.#load(request.signal), delay);
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const number = this.#sheet?.number;
    try {
      const detail = await getJson(jobPath(this.#jobId, "sheets", String(number)), { signal });
      if (signal.aborted) return;
      this.#detail = detail;
      this.#failure = "";
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#retryAt = isTransient(error) ? Date.now() + RETRY_MS : Infinity;
      this.#failure = `The details cannot be read now. ${error.message}`;
    }
    this.#draw();
  }

  #draw() {
    const sheet = this.#sheet;
    if (!sheet) return;
    const detail = this.#detail;
    const isCurrent = detail?.status === sheet.status;
    // The stream is newer than the response, whose texts are longer.
    /** @type {SheetDetail} */
    const all = {
      ...detail,
      ...sheet,
      error_message: (isCurrent && detail?.error_message) || sheet.error_message,
    };
    setText(this.#heading, `Sheet ${sheet.number}`);
    const isPast = this.#job?.isPast(sheet) ?? false;
    setAttribute(this.element, "data-tone", isPast ? "unknown" : statusTone(sheet.status));
    this.#status.show(sheet.status, { isPast });
    setText(this.#attempt, formatAttempt(all));
    this.tick();
    // Elements made anew would lose focus and selection.
    const shown = JSON.stringify([
      all,
      isPast,
      this.#failure,
      detail === null,
      this.#page.times.zone,
    ]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#details.replaceChildren(
      ...this.#makeError(all),
      this.#failure ? h("p.muted", {}, this.#failure) : "",
      makeFacts(sheetFacts(all, this.#page.times)),
      ...makeValidations(all),
      ...(detail === null ? [] : makeOutputs(all, isPast)),
    );
  }

  /** @param {SheetDetail} sheet */
  #makeError({ error_message: message, error_truncated: isCut }) {
    if (!message) return [];
    const text = plainText(message);
    return [
      h(
        "div.sheet-error",
        {},
        makeCopyButton("the error", () => text, this.#page.announcer),
        h("pre.error", { tabindex: 0 }, text),
      ),
      isCut && message.length <= 300 ? h("p.muted", {}, "The message is cut off here.") : "",
    ];
  }
}

/** @param {import("../model/sheet_detail.js").SheetFact[]} facts */
function makeFacts(facts) {
  return h(
    "dl",
    {},
    facts.map(({ label, value, title }) =>
      h("div", {}, h("dt", {}, label), h("dd", { title }, plainText(value))),
    ),
  );
}

/** @param {SheetDetail} sheet */
function makeValidations(sheet) {
  const validations = listValidations(sheet);
  if (!validations.length) return [];
  const words = { true: "passed", false: "failed", null: "unknown" };
  const items = validations.map(({ label, passed }) => {
    const key = /** @type {"true" | "false" | "null"} */ (String(passed));
    const tone = VALIDATION_TONES[key];
    const word = h("span.visually-hidden", {}, `${words[key]}: `);
    return h("li", { "data-tone": tone }, makeIcon(tone), h("span", {}, word, plainText(label)));
  });
  return [h("h3", {}, "Validations"), h("ul.validations", {}, items)];
}

/**
 * @param {SheetDetail} sheet
 * @param {boolean} isPast
 */
function makeOutputs(sheet, isPast) {
  const { outputs, sentence } = sheetOutputs(sheet, { isPast });
  if (sentence) return [h("p.muted", {}, sentence)];
  const cut = sheet.output_truncated ? ", its end" : "";
  return outputs.flatMap(({ label, text }) => [
    h("h3", {}, `${label}${cut}`),
    h("pre.output", { tabindex: 0, role: "region", "aria-label": label }, plainText(text)),
  ]);
}
