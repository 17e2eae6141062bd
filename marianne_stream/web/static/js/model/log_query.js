/** Search of a log: the query for the server, and the pattern that highlights matches in the page. */

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
 * Return the pattern that finds the same text in a line; null if there is none.
 *
 * @param {string} text
 * @param {{regex?: boolean}} [options]
 */
export function highlightPattern(text, { regex = false } = {}) {
  if (!text) return null;
  try {
    const flags = !regex && ignoresCase(text) ? "giu" : "gu";
    return new RegExp(regex ? text : escapePattern(text), flags);
  } catch {
    // The server's syntax (RE2) is another one: matches are shown without a highlight.
    return null;
  }
}

/** @param {string} text */
function ignoresCase(text) {
  return text === text.toLowerCase() && text !== text.toUpperCase();
}

/** @param {string} text */
function escapePattern(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
