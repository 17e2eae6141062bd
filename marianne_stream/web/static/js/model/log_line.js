/**
 * Parser of log lines for display. Level and time come from the server with the line, and have
 * columns of their own; the same level and time at the start of the text are left out.
 */

import { parseRuns, plainText } from "./ansi.js";

/**
 * @typedef {object} ParsedLine
 * @property {import("./ansi.js").TextRun[]} runs the message.
 * @property {Record<string, unknown> | null} json the fields of a JSON line; null for other lines.
 * @property {[string, string][]} fields the fields of a JSON line that are not shown elsewhere.
 */

const LEADING_TIME = /^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:[+-]\d\d:?\d\d\]?\s+)?/;

/** Level after the time. */
const LEADING_LEVEL = /^(?:[[<]\s*[a-z]{3,8}\s*[\]>]|[A-Z]{3,8}\b):?\s+/i;

/** Names of the fields of a JSON line that contain its message, time and level. */
const MESSAGE_FIELDS = ["event", "message", "msg", "text"];
const TIME_FIELDS = ["timestamp", "time", "ts", "@timestamp", "asctime"];
const LEVEL_FIELDS = ["level", "levelname", "lvl", "severity", "levelno"];

/** Number of characters of a line that are shown unless the reader opens it. */
export const MAX_SHOWN_CHARS = 8_000;

/**
 * Parse a line.
 *
 * @param {string} line
 * @param {{level?: string, loggedAt?: string}} [known] level and time that the server found in it.
 * @param {number} [maxChars] number of characters of the message to return.
 * @returns {ParsedLine}
 */
export function parseLine(line, { level = "", loggedAt = "" } = {}, maxChars = MAX_SHOWN_CHARS) {
  const json = parseJsonObject(line);
  if (json) return parseFields(json, { level, loggedAt });
  const untimed = loggedAt ? line.replace(LEADING_TIME, "") : line;
  const text = level && untimed !== line ? untimed.replace(LEADING_LEVEL, "") : untimed;
  return { json: null, runs: parseRuns(text.slice(0, maxChars)), fields: [] };
}

/**
 * @param {Record<string, unknown>} json
 * @param {{level: string, loggedAt: string}} known
 * @returns {ParsedLine}
 */
function parseFields(json, { level, loggedAt }) {
  const messageField = MESSAGE_FIELDS.find((name) => typeof json[name] === "string");
  const shown = new Set([
    messageField,
    ...(loggedAt ? TIME_FIELDS : []),
    ...(level ? LEVEL_FIELDS : []),
  ]);
  /** @type {[string, string][]} */
  const fields = Object.entries(mergeExtra(json))
    .filter(([name]) => !shown.has(name))
    .map(([name, value]) => [
      plainText(name),
      plainText(typeof value === "string" ? value : formatInline(value)),
    ]);
  const message = messageField && json[messageField];
  return { json, runs: message ? parseRuns(String(message)) : [], fields };
}

/**
 * Merge the fields of `extra`, in which the conductor puts some of its own, into the others.
 *
 * @param {Record<string, unknown>} json
 */
function mergeExtra({ extra, ...json }) {
  if (extra === undefined) return json;
  const isObject = extra !== null && typeof extra === "object" && !Array.isArray(extra);
  return isObject && !(extra instanceof NumberLiteral)
    ? { ...json, ...extra, ...json }
    : { ...json, extra };
}

/**
 * @param {string} line
 * @returns {Record<string, unknown> | null} null if the line is not a JSON object.
 */
function parseJsonObject(line) {
  if (line[0] !== "{" || !line.trimEnd().endsWith("}")) return null;
  try {
    return JSON.parse(line, /** @type {(key: string, value: unknown) => unknown} */ (keepLiteral));
  } catch {
    return null;
  }
}

/**
 * Keep the text of a number that JavaScript would write in another way (a JSON.parse reviver with
 * access to the source text, ECMA-262).
 *
 * @param {string} _key
 * @param {unknown} value
 * @param {{source?: string}} [context]
 */
function keepLiteral(_key, value, context) {
  const source = context?.source;
  const isSame = typeof value !== "number" || source === undefined || String(value) === source;
  return isSame ? value : new NumberLiteral(source);
}

/** Number as it is written in a line. */
class NumberLiteral {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * Format a JSON value over several lines, without control characters.
 *
 * @param {unknown} value
 * @param {string} [indent]
 * @returns {string}
 */
export function formatJson(value, indent = "") {
  if (value instanceof NumberLiteral) return value.text;
  if (value === null || typeof value !== "object") return plainText(JSON.stringify(value));
  const deeper = `${indent}  `;
  const entries = Array.isArray(value)
    ? value.map((item) => formatJson(item, deeper))
    : Object.entries(value).map(
        ([name, item]) => `${plainText(JSON.stringify(name))}: ${formatJson(item, deeper)}`,
      );
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return open + close;
  return `${open}\n${entries.map((entry) => deeper + entry).join(",\n")}\n${indent}${close}`;
}

/** @param {unknown} value */
function formatInline(value) {
  return formatJson(value).replace(/\n\s*/g, " ");
}
