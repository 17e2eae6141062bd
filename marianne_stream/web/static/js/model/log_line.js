/**
 * One line of a log in its parts, for a row. Its level and its time are the server's, which come with
 * the line; what says the same at its beginning is not shown twice.
 */

import { plain, runsOf } from "./ansi.js";

const TIME_FIRST = /^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:[+-]\d\d:?\d\d\]?\s+)?/;

/** Behind the time, where the level has a column of its own. */
const LEVEL_FIRST = /^(?:[[<]\s*[a-z]{3,8}\s*[\]>]|[A-Z]{3,8}\b):?\s+/i;

/** Where a JSON line has what it says; and what is shown in columns of its own, or said by them. */
const SAYS = ["event", "message", "msg", "text"];
const TIMES = ["timestamp", "time", "ts", "@timestamp", "asctime"];
const LEVELS = ["level", "levelname", "lvl", "severity", "levelno"];

/** So much of a line is shown. */
export const SHOWN_CHARS = 8_000;

/**
 * @param {string} line
 * @param {{level?: string, loggedAt?: string}} facts what the server says of it.
 * @returns {{runs: object[], json: object | null, rest: [string, string][]}} `rest` are the fields of
 *   a JSON line that are not shown otherwise.
 */
export function partsOf(line, { level = "", loggedAt = "" } = {}) {
  const json = jsonOf(line);
  if (json) return { json, ...jsonParts(json, { level, loggedAt }) };
  const behind = loggedAt ? line.replace(TIME_FIRST, "") : line;
  const text = level && behind !== line ? behind.replace(LEVEL_FIRST, "") : behind;
  return { json: null, runs: runsOf(text.slice(0, SHOWN_CHARS)), rest: [] };
}

function jsonParts(json, { level, loggedAt }) {
  const says = SAYS.find((name) => typeof json[name] === "string");
  const left = new Set([says, ...(loggedAt ? TIMES : []), ...(level ? LEVELS : [])]);
  const rest = Object.entries(flat(json))
    .filter(([name]) => !left.has(name))
    .map(([name, value]) => [name, typeof value === "string" ? value : oneLine(value)]);
  return {
    runs: says ? runsOf(json[says]) : [],
    rest: rest.map(([name, value]) => [plain(name), plain(value)]),
  };
}

/** The fields of `extra`, in which the conductor has some of its own, stand among the others. */
function flat({ extra, ...json }) {
  if (extra === undefined) return json;
  const fields = extra !== null && typeof extra === "object" && !Array.isArray(extra);
  return fields && !(extra instanceof Written)
    ? { ...json, ...extra, ...json }
    : { ...json, extra };
}

function jsonOf(line) {
  if (line[0] !== "{" || !line.trimEnd().endsWith("}")) return null;
  try {
    return JSON.parse(line, asWritten);
  } catch {
    return null;
  }
}

/** A number that is not as it was written, once it was read, is shown as it was written. */
function asWritten(_, value, context) {
  const written = context?.source;
  const kept = typeof value !== "number" || written === undefined || String(value) === written;
  return kept ? value : new Written(written);
}

class Written {
  constructor(text) {
    this.text = text;
  }
}

/** A JSON value over several lines, without anything raw in it. */
export function jsonText(value, indent = "") {
  if (value instanceof Written) return value.text;
  if (value === null || typeof value !== "object") return plain(JSON.stringify(value));
  const deeper = `${indent}  `;
  const entries = Array.isArray(value)
    ? value.map((item) => jsonText(item, deeper))
    : Object.entries(value).map(
        ([name, item]) => `${plain(JSON.stringify(name))}: ${jsonText(item, deeper)}`,
      );
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return open + close;
  return `${open}\n${entries.map((entry) => deeper + entry).join(",\n")}\n${indent}${close}`;
}

function oneLine(value) {
  return jsonText(value).replace(/\n\s*/g, " ");
}
