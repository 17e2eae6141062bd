/** One row of a log: a line in its parts, or a mark of what happened there. */

import { plain, runsOf } from "../model/ansi.js";
import { jsonText, partsOf, SHOWN_CHARS } from "../model/log_line.js";
import { timeOf } from "../model/line_time.js";
import { bytes } from "../model/times.js";
import { h } from "./dom.js";

const LEVEL_WORDS = {
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  critical: "crit",
};

const ROTATED = { renamed: "renamed", truncated: "cut", replaced: "replaced" };
const GAPS = {
  cursor_expired: "What was shown is not in the log any more: this is the log as it is now",
  truncated: "The log was cut here",
  rotated_away: "Lines were rotated away here",
};

/**
 * Makes the element of a row.
 *
 * @param {object} row of the window.
 * @param {{pattern: RegExp | null, times: import("../model/times.js").Times, day: string,
 *   onNumber: Function, onOpen: Function}} with `day` is the day that begins with it, "" for none.
 */
export function rowElement(row, { pattern, times, day, onNumber, onOpen }) {
  if (row.kind !== "line") return h(`div.row.mark.${row.kind}`, {}, h("span", {}, markText(row)));
  const parts = partsOfRow(row);
  const cut = row.truncated || row.text.length > SHOWN_CHARS;
  const number = h(
    "button.number",
    { type: "button", tabindex: -1, onclick: onNumber, "aria-label": `Line ${row.number}` },
    String(row.number),
  );
  const text = h("span.text", {}, textOf(parts, pattern), cut ? h("span.cut", {}, " … cut") : null);
  const element = h(
    "div.row.line",
    { "data-level": row.level || null },
    day ? h("div.day", {}, h("span", {}, day)) : null,
    row.beginsRun ? h("div.run", {}, h("span", {}, "A run begins")) : null,
    number,
    timeElement(row, times),
    h("span.level", {}, LEVEL_WORDS[row.level] ?? ""),
    text,
  );
  if (parts.json) openable(element, row, parts, onOpen);
  return element;
}

/** Makes the element of a last line that has no newline yet. */
export function partialElement({ text, number }, pattern) {
  return h(
    "div.row.line",
    {},
    h("span.number", {}, String(number)),
    h("time", {}),
    h("span.level", {}),
    h("span.text", {}, textOf({ runs: runsOf(text.slice(0, SHOWN_CHARS)) }, pattern)),
  );
}

/** The time of a row's line, as `timeOf` has it; a mark has none. */
export function timeOfRow(row, times) {
  return timeOf(row, times);
}

/** Kept with the row, for as long as it is in the window. */
function partsOfRow(row) {
  return (row.parts ??= partsOf(row.text, row));
}

function timeElement(row, times) {
  const { text, title, kind } = timeOfRow(row, times);
  const received = kind === "received" ? h("span", { "aria-label": "read" }, "↓ ") : null;
  return h("time", { title: title || null, "data-kind": kind || null }, received, text);
}

function textOf({ runs, json, rest }, pattern) {
  const nodes = runs.flatMap(({ text, look }) => run(text, look, pattern));
  if (!json) return nodes;
  const fields = rest.map(([name, value]) =>
    h("span.field", {}, h("span.field-name", {}, `${name}=`), ...run(value, {}, pattern)),
  );
  return [...nodes, ...fields.flatMap((field) => [" ", field])];
}

/** A run of text with its looks, and what is looked for marked in it. */
function run(text, look, pattern) {
  const pieces = marked(text, pattern);
  if (!Object.values(look).some(Boolean)) return pieces;
  const { fg, bg } = look.inverse ? { fg: look.bg ?? "ground", bg: look.fg ?? "ink" } : look;
  const switches = ["bold", "dim", "italic", "underline", "strike"].filter((name) => look[name]);
  const span = h(`span.ansi${switches.map((name) => `.${name}`).join("")}`, {}, pieces);
  colour(span, "fg", fg);
  colour(span, "bg", bg);
  return [span];
}

function colour(span, which, value) {
  if (!value) return;
  if (value.startsWith("#"))
    span.style.setProperty(which === "fg" ? "color" : "background-color", value);
  else span.setAttribute(`data-${which}`, value);
}

function marked(text, pattern) {
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

/** A JSON line is opened on click. */
function openable(element, row, parts, onOpen) {
  element.classList.add("json");
  const toggle = h(
    "button.braces",
    {
      type: "button",
      tabindex: -1,
      "aria-expanded": String(Boolean(row.open)),
      "aria-label": "Fields",
    },
    "{ }",
  );
  toggle.addEventListener("click", () => {
    row.open = !row.open;
    onOpen();
  });
  element.querySelector(".text").prepend(toggle);
  if (row.open) element.append(h("pre.fields", {}, jsonText(parts.json)));
}

function markText({ kind, data }) {
  if (kind === "rotated") {
    const how = ROTATED[data.reason];
    return how
      ? `The log was ${how}: ${data.log_file} begins`
      : "The log was rotated: another file begins";
  }
  if (kind === "gap") {
    const lost = data.lost_bytes ? `, ${bytes(data.lost_bytes)} are lost` : "";
    return `${GAPS[data.reason] ?? "Lines are missing here"}${lost}`;
  }
  if (kind === "fault") return plain(data.error ?? "The server failed to read this log");
  if (kind === "missing") return plain(data.detail ?? "This job has no log");
  if (data.missing) return "The end: the job is over, and has written no log";
  return "The end: the job is over, and its log is quiet";
}
