/** Row of a log: a line with its columns, or a marker of what happened at this place. */

import { parseRuns, plainText } from "../model/ansi.js";
import { isEntryHead } from "../model/log_entries.js";
import { formatJson, MAX_SHOWN_CHARS, parseLine } from "../model/log_line.js";
import { lineTime } from "../model/log_line_time.js";
import { formatBytes } from "../model/time_format.js";
import { h } from "./dom.js";
import { LogText } from "./log_text.js";

/** @typedef {import("../model/log_rows.js").LogRow} Row */

/**
 * @typedef {object} RowOptions
 * @property {RegExp | null} pattern text to highlight.
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {string} day heading above the row; "" for none.
 * @property {boolean} mayBeLong the line is shown in part, if it is long, unless the reader opens it.
 * @property {boolean} isEntryOpen the lines below it in its entry are shown.
 * @property {(event: MouseEvent) => void} onNumberClick
 * @property {() => void} onToggle is called when the fields of a JSON line, or a long line, are opened
 *   or closed.
 * @property {() => void} onToggleEntry folds or opens the entry.
 */

/** @type {Record<string, string>} */
const LEVEL_LABELS = {
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  critical: "crit",
};

/** @type {Record<string, string>} */
const ROTATION_LABELS = { renamed: "renamed", truncated: "truncated", replaced: "replaced" };

/** @type {Record<string, string>} */
const GAP_LABELS = {
  cursor_expired: "The lines shown before are no longer in the log; this is the current log",
  truncated: "The log was truncated here",
  rotated_away: "Lines were removed by log rotation here",
};

/** Number of elements in the text of a line, and of one that the reader has opened. */
const MAX_ELEMENTS = 200;
const MAX_OPENED_ELEMENTS = 300;

/**
 * Make the element of a row.
 *
 * @param {Row} row
 * @param {RowOptions} options
 * @returns {HTMLElement}
 */
export function makeRow(row, options) {
  if (row.kind !== "line") {
    const job = row.job ? makeJobName(row.job) : null;
    return h("div", { class: `row marker ${row.kind}` }, h("span", {}, job, makeMarkerText(row)));
  }
  const { times, day, mayBeLong, onNumberClick, onToggle } = options;
  const maxChars = row.isWhole ? Infinity : MAX_SHOWN_CHARS;
  const { json } = (row.parsed ??= parseLine(row.text, row, maxChars));
  const number = h(
    "button.number",
    { type: "button", tabindex: -1, onclick: onNumberClick, "aria-label": `Line ${row.number}` },
    String(row.number),
  );
  const element = h(
    "div.row.line",
    { "data-level": row.level || null },
    day ? h("div.day", {}, h("span", {}, day)) : null,
    row.startsRun ? h("div.run-start", {}, h("span", {}, "New run")) : null,
    number,
    row.job ? makeJobName(row.job) : null,
    makeTime(row, times),
    h("span.level", {}, LEVEL_LABELS[row.level ?? ""] ?? ""),
    isEntryHead(row) ? makeEntryToggle(row, options) : null,
    makeLineText(row, row.parsed, options),
    mayBeLong ? makeWholeToggle(row, onToggle) : null,
    json && row.isOpen ? makeFields(json, options) : null,
  );
  element.classList.toggle("json", json !== null);
  element.classList.toggle("cut", mayBeLong && !row.isWhole);
  element.classList.toggle("context", row.isMatch === false);
  return element;
}

/** Number of characters of a job's name that are shown. */
export const MAX_NAME_CHARS = 24;

/**
 * Make the name of a job in its colour. A long one is cut in the middle: names of runs often differ at
 * the end.
 *
 * @param {import("../model/log_rows.js").LogJob} job
 */
export function makeJobName({ id, colour }) {
  const name = plainText(id);
  const half = MAX_NAME_CHARS / 2;
  const shown =
    name.length > MAX_NAME_CHARS ? `${name.slice(0, half - 1)}…${name.slice(-half)}` : name;
  return h("span.job-name", { title: name, "data-colour": colour }, shown);
}

/**
 * @param {Row} row
 * @param {import("../model/log_line.js").ParsedLine} parsed
 * @param {RowOptions} options
 */
function makeLineText(row, parsed, { pattern, mayBeLong, onToggle }) {
  const toggle = parsed.json ? makeFieldsToggle(row, onToggle) : null;
  const isCut = row.truncated && (row.isWhole || !mayBeLong);
  const cut = isCut ? h("span.truncated", {}, " … cut at 64 KB") : null;
  const text = new LogText(pattern, row.isWhole ? MAX_OPENED_ELEMENTS : MAX_ELEMENTS);
  return h("span.text", {}, toggle, text.makeLine(parsed), cut);
}

/**
 * @param {Record<string, unknown>} json
 * @param {RowOptions} options
 */
function makeFields(json, { pattern }) {
  const text = new LogText(pattern, MAX_OPENED_ELEMENTS);
  return h("pre.fields", {}, text.make(formatJson(json)));
}

/**
 * Make the element of the last line while it has no newline.
 *
 * @param {{text: string, number: number}} line
 * @param {RegExp | null} pattern
 */
export function makePartialRow({ text, number }, pattern) {
  const runs = parseRuns(text.slice(0, MAX_SHOWN_CHARS));
  return h(
    "div.row.line",
    {},
    h("span.number", {}, String(number)),
    h("time", {}),
    h("span.level", {}),
    h("span.text", {}, new LogText(pattern, MAX_ELEMENTS).makeRuns(runs)),
  );
}

/**
 * @param {Row} row
 * @param {import("../model/time_format.js").TimeFormat} times
 */
function makeTime(row, times) {
  const { text, title, kind } = lineTime(row, times);
  const received = kind === "received" ? h("span", { "aria-label": "read" }, "↓ ") : null;
  return h("time", { title: title || null, "data-kind": kind || null }, received, text);
}

/**
 * @param {Row} row
 * @param {() => void} onToggle
 */
function makeFieldsToggle(row, onToggle) {
  return h(
    "button.fields-toggle",
    {
      type: "button",
      tabindex: -1,
      "aria-expanded": String(Boolean(row.isOpen)),
      "aria-label": "Fields",
      onclick: () => {
        row.isOpen = !row.isOpen;
        onToggle();
      },
    },
    "{ }",
  );
}

/**
 * @param {Row} row
 * @param {RowOptions} options
 */
function makeEntryToggle({ entry }, { isEntryOpen, onToggleEntry }) {
  const count = (entry?.lineCount ?? 1) - 1;
  const lines = count === 1 ? "1 more line" : `${count} more lines`;
  return h(
    "button.entry-toggle",
    {
      type: "button",
      tabindex: -1,
      title: isEntryOpen ? `Fold ${lines} (Enter)` : `Show ${lines} (Enter)`,
      "aria-expanded": String(isEntryOpen),
      "aria-label": `${lines} of this entry`,
      onclick: onToggleEntry,
    },
    isEntryOpen ? "▾" : `▸ ${count}`,
  );
}

/**
 * @param {Row} row
 * @param {() => void} onToggle
 */
function makeWholeToggle(row, onToggle) {
  const isWhole = Boolean(row.isWhole);
  return h(
    "button.whole-toggle",
    {
      type: "button",
      tabindex: -1,
      "aria-expanded": String(isWhole),
      // Shown once the line is known not to fit.
      hidden: !isWhole && !row.parsed?.isCut,
      onclick: () => {
        row.isWhole = !isWhole;
        row.parsed = undefined;
        onToggle();
      },
    },
    isWhole ? "Show less" : `Show all of this line (${formatBytes(row.text.length)})`,
  );
}

/**
 * Make both texts of a log that does not exist; the style of the view shows that of the job's state.
 *
 * @param {string} detail
 */
function makeMissingText(detail) {
  return [
    h("span.of-queued-job", {}, "No log yet: the job has not started."),
    h("span.of-started-job", {}, plainText(detail)),
  ];
}

/**
 * @param {Row} row
 * @returns {string | HTMLElement[]}
 */
function makeMarkerText({ kind, data }) {
  if (kind === "rotated") {
    const how = ROTATION_LABELS[data.reason];
    return how
      ? `The log file was ${how}; ${data.log_file} starts here`
      : "The log was rotated; another file starts here";
  }
  if (kind === "gap") {
    if (data.reason === "unread") return `Lines are missing here: ${plainText(data.detail)}`;
    const lost = data.lost_bytes ? `, ${formatBytes(data.lost_bytes)} lost` : "";
    return `${GAP_LABELS[data.reason] ?? "Lines are missing here"}${lost}`;
  }
  if (kind === "missing") return makeMissingText(data.detail ?? "This job has no log");
  if (kind === "untimed") return "Older lines give no times: see the log of this job alone";
  if (data.missing) return "End: the job has finished without writing a log";
  return "End: the job has finished";
}
