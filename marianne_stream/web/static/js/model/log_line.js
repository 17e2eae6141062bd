/** One line of a log in its parts: time, level, text, and what JSON it is. */

import { plain, runsOf } from "./ansi.js";

const TIME = /^\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)([.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?\]?\s+/;

const LEVEL_NAMES = {
  debug: "debug",
  trace: "debug",
  info: "info",
  notice: "info",
  warn: "warning",
  warning: "warning",
  error: "error",
  err: "error",
  critical: "error",
  fatal: "error",
  exception: "error",
};

const LEVEL =
  /\[(debug|trace|info|notice|warn|warning|error|critical|fatal)\s*\]|\blevel=(\w+)|\b(DEBUG|TRACE|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b/i;

/** Behind the time, and shown in a column of its own. */
const LEVEL_FIRST =
  /^(?:\[(debug|trace|info|notice|warn|warning|error|critical|fatal)\s*\]|(DEBUG|TRACE|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b):?\s+/i;

/** Where a JSON line has what it says, and when. */
const SAYS = ["event", "message", "msg", "text"];
const WHEN = ["timestamp", "time", "ts", "@timestamp"];

/** A line's parts are looked for in so much of it, and so much of it is shown. */
const HEAD = 400;
export const SHOWN_CHARS = 8_000;

/**
 * @param {string} line
 * @returns {{time: string, when: string, level: string, runs: object[], json: object | null,
 *   rest: [string, string][]}} `time` is the time of the day as the line has it, "" for none, `when`
 *   the whole of it; `rest` are the other fields of a JSON line.
 */
export function partsOf(line) {
  const json = jsonOf(line);
  if (json) return jsonParts(json);
  const match = TIME.exec(line.slice(0, HEAD));
  const behind = match ? line.slice(match[0].length) : line;
  const text = (match ? behind.replace(LEVEL_FIRST, "") : behind).slice(0, SHOWN_CHARS);
  return {
    time: match ? match[2] + thousandths(match[3]) : "",
    when: match ? match[0].trim() : "",
    level: levelOf(plain(line.slice(0, HEAD))),
    runs: runsOf(text),
    json: null,
    rest: [],
  };
}

function jsonParts(json) {
  const says = SAYS.find((name) => typeof json[name] === "string");
  const whenName = WHEN.find((name) => typeof json[name] === "string");
  const when = whenName ? json[whenName] : "";
  const clock = /[T ](\d\d:\d\d:\d\d)([.,]\d+)?/.exec(when);
  const left = new Set([says, whenName, "level", "severity"]);
  const rest = Object.entries(json)
    .filter(([name]) => !left.has(name))
    .map(([name, value]) => [name, typeof value === "string" ? value : oneLine(value)]);
  return {
    time: clock ? clock[1] + thousandths(clock[2]) : "",
    when,
    level: LEVEL_NAMES[String(json.level ?? json.severity ?? "").toLowerCase()] ?? "",
    runs: says ? runsOf(json[says]) : [],
    json,
    rest: rest.map(([name, value]) => [plain(name), plain(value)]),
  };
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

function levelOf(head) {
  const match = LEVEL.exec(head);
  const name = match?.[1] ?? match?.[2] ?? match?.[3] ?? "";
  return LEVEL_NAMES[name.toLowerCase()] ?? "";
}

function thousandths(fraction) {
  return fraction ? `.${fraction.slice(1).padEnd(3, "0").slice(0, 3)}` : "";
}

function oneLine(value) {
  return jsonText(value).replace(/\n\s*/g, " ");
}
