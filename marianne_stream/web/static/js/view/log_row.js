/** Row of a log: a line with its columns, or a marker of what happened at this place. */

import { parseRuns, plainText } from "../model/ansi.js";
import { isEntryHead } from "../model/log_entries.js";
import { formatJson, MAX_SHOWN_CHARS, parseLine } from "../model/log_line.js";
import { lineTime } from "../model/log_line_time.js";
import { splitLinks } from "../model/text_links.js";
import { formatBytes } from "../model/time_format.js";
import { h } from "./dom.js";

/** @typedef {import("../model/log_rows.js").LogRow} Row */
/** @typedef {import("../model/ansi.js").TextStyle} TextStyle */

/**
 * @typedef {object} RowOptions
 * @property {RegExp | null} pattern text to highlight.
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {string} day heading above the row; "" for none.
 * @property {boolean} isLong the line is shown in part unless the reader opens it.
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

/** @type {("bold" | "dim" | "italic" | "underline" | "strike")[]} */
const STYLE_CLASSES = ["bold", "dim", "italic", "underline", "strike"];

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
    return h("div", { class: `row marker ${row.kind}` }, h("span", {}, job, markerText(row)));
  }
  const { times, day, isLong, onNumberClick, onToggle } = options;
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
    isLong ? makeWholeToggle(row, onToggle) : null,
    json && row.isOpen ? h("pre.fields", {}, formatJson(json)) : null,
  );
  element.classList.toggle("json", json !== null);
  element.classList.toggle("cut", isLong && !row.isWhole);
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
function makeLineText(row, parsed, { pattern, isLong, onToggle }) {
  const toggle = parsed.json ? makeFieldsToggle(row, onToggle) : null;
  const isCut = row.truncated && (row.isWhole || !isLong);
  const cut = isCut ? h("span.truncated", {}, " … cut at 64 KB") : null;
  return h("span.text", {}, toggle, makeText(parsed, pattern), cut);
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
    h("span.text", {}, makeText({ runs, json: null, fields: [] }, pattern)),
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
 * @param {import("../model/log_line.js").ParsedLine} parsed
 * @param {RegExp | null} pattern
 */
function makeText({ runs, fields }, pattern) {
  const text = runs.flatMap((run) => makeRun(run, pattern));
  const fieldElements = fields.flatMap(([name, value]) => [
    " ",
    h("span.field", {}, h("span.field-name", {}, `${name}=`), makeLinkedText(value, pattern)),
  ]);
  return [...text, ...fieldElements];
}

/**
 * Make the nodes of a run of styled text, with links, and matches highlighted.
 *
 * @param {import("../model/ansi.js").TextRun} run
 * @param {RegExp | null} pattern
 * @returns {(Node | string)[]}
 */
function makeRun({ text, style }, pattern) {
  const pieces = makeLinkedText(text, pattern);
  if (!Object.values(style).some(Boolean)) return pieces;
  const { fg, bg } = style.inverse
    ? { fg: style.bg ?? "background", bg: style.fg ?? "text" }
    : style;
  const span = h("span.ansi", {}, pieces);
  span.classList.add(...STYLE_CLASSES.filter((name) => style[name]));
  setColour(span, "fg", fg);
  setColour(span, "bg", bg);
  return [span];
}

/**
 * @param {string} text
 * @param {RegExp | null} pattern
 */
function makeLinkedText(text, pattern) {
  return splitLinks(text).flatMap((piece) => makePiece(piece, pattern));
}

/**
 * @param {import("../model/text_links.js").TextPiece} piece
 * @param {RegExp | null} pattern
 * @returns {(Node | string)[]}
 */
function makePiece({ text, url }, pattern) {
  const pieces = highlight(text, pattern);
  if (!url) return pieces;
  const attributes = { href: url, target: "_blank", rel: "noopener noreferrer", tabindex: -1 };
  return [h("a.link", attributes, pieces)];
}

/**
 * @param {HTMLElement} span
 * @param {"fg" | "bg"} which
 * @param {string | undefined} colour
 */
function setColour(span, which, colour) {
  if (!colour) return;
  if (colour.startsWith("#")) {
    span.style.setProperty(which === "fg" ? "color" : "background-color", colour);
  } else span.setAttribute(`data-${which}`, colour);
}

/**
 * @param {string} text
 * @param {RegExp | null} pattern
 * @returns {(Node | string)[]}
 */
function highlight(text, pattern) {
  if (!pattern) return [text];
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    if (!match[0]) continue;
    pieces.push(text.slice(from, match.index), h("mark", {}, match[0]));
    from = match.index + match[0].length;
  }
  pieces.push(text.slice(from));
  return pieces.filter((piece) => piece !== "");
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
      onclick: () => {
        row.isWhole = !isWhole;
        row.parsed = undefined;
        onToggle();
      },
    },
    isWhole ? "Show less" : `Show all of this line (${formatBytes(row.text.length)})`,
  );
}

/** @param {Row} row */
function markerText({ kind, data }) {
  if (kind === "rotated") {
    const how = ROTATION_LABELS[data.reason];
    return how
      ? `The log file was ${how}; ${data.log_file} starts here`
      : "The log was rotated; another file starts here";
  }
  if (kind === "gap") {
    const lost = data.lost_bytes ? `, ${formatBytes(data.lost_bytes)} lost` : "";
    return `${GAP_LABELS[data.reason] ?? "Lines are missing here"}${lost}`;
  }
  if (kind === "untimed") return "Older lines give no times: see the log of this job alone";
  if (kind === "missing") return plainText(data.detail ?? "This job has no log");
  if (data.missing) return "End: the job has finished without writing a log";
  return "End of log: the job has finished";
}
