/** Search of a log: the query for the server, and the pattern that highlights matches in the page. */

/** Limit of a search text: escaped, it is a part of an address, which the server limits. */
export const MAX_TEXT_CHARS = 400;

/**
 * Number of characters of a text in which the matches of an expression with a repeat are looked for:
 * the time grows with the square of the length.
 */
const MAX_REPEAT_CHARS = 500;

/**
 * Return the query parameters of a search. Text without capitals matches in any case.
 *
 * @param {string} text
 * @param {{regex?: boolean}} [options]
 * @returns {{regex: string} | {contains: string}}
 */
export function searchParameters(text, { regex = false } = {}) {
  if (regex) return { regex: text };
  return ignoresCase(text) ? { regex: `(?i)${escapePattern(text)}` } : { contains: text };
}

/**
 * Return the pattern that finds the same text in a line; null if there is none, or if it may take
 * long: the server's expressions run in linear time, those of a browser do not.
 *
 * @param {string} text
 * @param {{regex?: boolean}} [options]
 */
export function highlightPattern(text, { regex = false } = {}) {
  if (!text || (regex && mayBacktrack(text))) return null;
  try {
    const flags = !regex && ignoresCase(text) ? "giu" : "gu";
    return new RegExp(regex ? text : escapePattern(text), flags);
  } catch {
    // The server's syntax (RE2) is another one: matches are shown without a highlight.
    return null;
  }
}

/**
 * Return the matches of a pattern in a text, of an expression with a repeat those in its beginning.
 *
 * @param {string} text
 * @param {RegExp} pattern
 */
export function* findMatches(text, pattern) {
  const length = /[*+{]/.test(pattern.source.replace(/\\./gsu, "")) ? MAX_REPEAT_CHARS : Infinity;
  for (const match of text.slice(0, length).matchAll(pattern)) {
    // It is not the end of the text.
    const isAtCut = text.length > length && match.index + match[0].length === length;
    if (match[0] && !(isAtCut && pattern.source.includes("$"))) yield match;
  }
}

/**
 * Return true if a browser may try very many ways to match an expression: one with a repeated group,
 * or with several parts that may repeat.
 *
 * @param {string} text
 */
function mayBacktrack(text) {
  const atoms = text.replace(/\\.|\[(?:\\.|[^\]\\])*\]/gsu, "x").replace(/([*+?}])\?/g, "$1");
  const count = (/** @type {RegExp} */ part) => atoms.match(part)?.length ?? 0;
  const hasRepeatedGroup = /\)[*+?{]/.test(atoms);
  const repeats = count(/[*+]|\{\d*,\d*\}/g);
  return (
    hasRepeatedGroup || repeats > 1 || count(/[^(]\?/g) > 3 || count(/\((?!\?[:=!<])|\(\?:/g) > 3
  );
}

/** @param {string} text */
function ignoresCase(text) {
  return text === text.toLowerCase() && text !== text.toUpperCase();
}

/** @param {string} text */
function escapePattern(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
