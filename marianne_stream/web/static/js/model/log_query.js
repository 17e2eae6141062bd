/** What is looked for in a log, as the server and as the page understand it. */

/**
 * A search as the API's parameters. Small letters alone match in either case.
 *
 * @param {string} text
 * @param {{regex?: boolean}} as
 */
export function parametersOf(text, { regex = false } = {}) {
  if (regex) return { regex: text };
  return inEitherCase(text) ? { regex: `(?i)${quoted(text)}` } : { contains: text };
}

/** The same as an expression that finds it in a line that is shown; null where there is none. */
export function patternOf(text, { regex = false } = {}) {
  if (!text) return null;
  try {
    const flags = !regex && inEitherCase(text) ? "giu" : "gu";
    return new RegExp(regex ? text : quoted(text), flags);
  } catch {
    // The server knows another syntax (RE2): what it found is shown without a mark.
    return null;
  }
}

function inEitherCase(text) {
  return text === text.toLowerCase() && text !== text.toUpperCase();
}

function quoted(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
