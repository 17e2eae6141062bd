/** Links in text: its http and https URLs. */

/** @typedef {{text: string, url: string}} TextPiece `url` is "" for text that is no link. */

// Control characters have been replaced by control pictures.
const URL_START = /https?:\/\/[^\s<>"'`{}|\\^\u2400-\u2421\ufffd]+/giu;

/** Punctuation that ends a sentence rather than a URL. */
const TRAILING = /[.,;:!?*_~]+$/;

/** @type {[string, string][]} */
const BRACKETS = [
  ["(", ")"],
  ["[", "]"],
];

/**
 * Split text into links and what is between them.
 *
 * @param {string} text
 * @returns {TextPiece[]}
 */
export function splitLinks(text) {
  if (!text.includes("://")) return [{ text, url: "" }];
  /** @type {TextPiece[]} */
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(URL_START)) {
    const found = trimUrl(match[0]);
    const url = parseHttpUrl(found);
    if (!url) continue;
    if (match.index > from) pieces.push({ text: text.slice(from, match.index), url: "" });
    pieces.push({ text: found, url });
    from = match.index + found.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from), url: "" });
  return pieces;
}

/**
 * Return a URL without punctuation and brackets that belong to the text around it.
 *
 * @param {string} url
 */
function trimUrl(url) {
  for (;;) {
    const shorter = url.replace(TRAILING, "");
    const bracket = BRACKETS.find(([open, close]) => {
      return shorter.endsWith(close) && count(shorter, close) > count(shorter, open);
    });
    if (!bracket && shorter === url) return url;
    url = bracket ? shorter.slice(0, -1) : shorter;
  }
}

/**
 * @param {string} text
 * @param {string} character
 */
function count(text, character) {
  return text.split(character).length - 1;
}

/** @param {string} text */
function parseHttpUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : "";
}
