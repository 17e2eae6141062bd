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
 * @property {boolean} isCut a part of the line is left out.
 */

const LEADING_TIME = /^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:[+-]\d\d:?\d\d\]?\s+)?/;

/** Level after the time. */
const LEADING_LEVEL = /^(?:[[<]\s*[a-z]{3,8}\s*[\]>]|[A-Z]{3,8}\b):?\s+/i;

/** Names of the fields of a JSON line that contain its message, time and level. */
const MESSAGE_FIELDS = ["event", "message", "msg", "text"];
const TIME_FIELDS = ["timestamp", "time", "ts", "@timestamp", "asctime"];
const LEVEL_FIELDS = ["level", "levelname", "lvl", "severity", "levelno"];

/** Number of characters of a line that are shown unless the reader opens it. */
export const MAX_SHOWN_CHARS = 4_000;

/** Number of characters of a formatted JSON value. */
const MAX_JSON_CHARS = 16_000;

/** Signs of a number that JavaScript might write in another way, such as 1.0, 1e5 or -0. */
const UNUSUAL_NUMBER = /\d{16}|[\d.]{17}|\.\d*0(?!\d)|\.0{6}|\d[eE]|-0(?![.\d])/;

/** JSON that is nested deeper is shown as text. */
const MAX_JSON_DEPTH = 50;

/** Number of characters that a screen reader tells of the current line. */
const MAX_TOLD_CHARS = 300;

/**
 * Parse a line.
 *
 * @param {string} line
 * @param {{level?: string, loggedAt?: string}} [known] level and time that the server found in it.
 * @param {number} [maxChars] number of characters of message and fields to return.
 * @returns {ParsedLine}
 */
export function parseLine(line, { level = "", loggedAt = "" } = {}, maxChars = MAX_SHOWN_CHARS) {
  const json = parseJsonObject(line);
  if (json) return parseFields(json, { level, loggedAt }, maxChars);
  const untimed = loggedAt ? line.replace(LEADING_TIME, "") : line;
  const text = level && untimed !== line ? untimed.replace(LEADING_LEVEL, "") : untimed;
  const runs = parseRuns(text.slice(0, maxChars));
  return { json: null, runs, fields: [], isCut: text.length > maxChars };
}

/**
 * Return a line as a screen reader tells it: its number, level and beginning.
 *
 * @param {import("./log_rows.js").LogRow} row
 */
export function lineLabel({ number, level, loggedAt, text }) {
  const { runs } = parseLine(text, { level, loggedAt }, MAX_TOLD_CHARS);
  const message = runs.map((run) => run.text).join("");
  return `Line ${number}${level ? `, ${level}` : ""}: ${message.slice(0, MAX_TOLD_CHARS)}`;
}

/**
 * @param {Record<string, unknown>} json
 * @param {{level: string, loggedAt: string}} known
 * @param {number} maxChars
 * @returns {ParsedLine}
 */
function parseFields(json, { level, loggedAt }, maxChars) {
  const messageField = MESSAGE_FIELDS.find((name) => typeof json[name] === "string");
  const shown = new Set([
    messageField,
    ...(loggedAt ? TIME_FIELDS : []),
    ...(level ? LEVEL_FIELDS : []),
  ]);
  const message = String((messageField && json[messageField]) ?? "");
  /** @type {[string, string][]} */
  const fields = [];
  let rest = maxChars - message.length;
  const merged = mergeExtra(json);
  for (const name of Object.keys(merged)) {
    if (shown.has(name)) continue;
    if (rest <= 0) break;
    const field = formatField(name, merged[name], rest);
    fields.push(field);
    // With the blank before it and the sign between name and value.
    rest -= name.length + field[1].length + 2;
  }
  const runs = message ? parseRuns(message.slice(0, maxChars)) : [];
  return { json, runs, fields, isCut: rest <= 0 };
}

/**
 * Return a field of a JSON line as text.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} maxChars
 * @returns {[string, string]}
 */
function formatField(name, value, maxChars) {
  const text =
    typeof value === "string"
      ? plainText(value.slice(0, maxChars))
      : formatJson(value, { maxChars, isInline: true });
  return [plainText(name.slice(0, maxChars)), text];
}

/**
 * Merge the fields of `extra`, in which the conductor puts some of its own, into the others.
 *
 * @param {Record<string, unknown>} line
 * @returns {Record<string, unknown>}
 */
function mergeExtra(line) {
  // A line may have thousands of fields, which are not copied for nothing.
  if (line.extra === undefined) return line;
  const { extra, ...json } = line;
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
    const revive = /** @type {(key: string, value: unknown) => unknown} */ (keepLiteral);
    const json = JSON.parse(line, UNUSUAL_NUMBER.test(line) ? revive : undefined);
    return isDeeper(json, MAX_JSON_DEPTH) ? null : json;
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
 * Return true if a value is nested deeper than a number of levels.
 *
 * @param {unknown} value
 * @param {number} levels
 * @returns {boolean}
 */
function isDeeper(value, levels) {
  if (value === null || typeof value !== "object") return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}

/**
 * Format a JSON value, without control characters: over several lines, or in one. What is behind a
 * number of characters is left out.
 *
 * @param {unknown} value
 * @param {{maxChars?: number, isInline?: boolean}} [options]
 */
export function formatJson(value, { maxChars = MAX_JSON_CHARS, isInline = false } = {}) {
  let text = "";
  /** @param {unknown} item @param {string} indent */
  const write = (item, indent) => {
    if (item instanceof NumberLiteral) text += item.text;
    else if (item === null || typeof item !== "object") text += plainText(JSON.stringify(item));
    else writeItems(item, indent);
  };
  /** @param {object} items @param {string} indent */
  const writeItems = (items, indent) => {
    const isList = Array.isArray(items);
    const names = isList ? null : Object.keys(items);
    const values = isList ? items : Object.values(items);
    const deeper = isInline ? " " : `${indent}  `;
    text += isList ? "[" : "{";
    for (let index = 0; index < values.length && text.length <= maxChars; index += 1) {
      text += `${index ? "," : ""}${deeper}`;
      if (names) text += `${plainText(JSON.stringify(names[index]))}: `;
      write(values[index], deeper);
    }
    if (values.length) text += isInline ? " " : indent;
    text += isList ? "]" : "}";
  };
  write(value, "\n");
  return text.length > maxChars ? `${text.slice(0, maxChars)} …` : text;
}
