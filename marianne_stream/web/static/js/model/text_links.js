/** Links in text: its http and https URLs. */

/** @typedef {{text: string, url: string}} TextPiece `url` is "" for text that is no link. */

/** Longer URLs are not links. */
const MAX_URL_CHARS = 2_000;

/** Number of links in a text; further URLs are not links. */
const MAX_LINKS = 200;

// Quotes, and the punctuation of East Asian scripts, end a URL: a browser copies a URL with these
// characters encoded. Control characters have been replaced by control pictures.
const URL_START =
  /https?:\/\/[^\s<>"'`{}|\\^“”„‘«»‹›、。，！？；：（）「」『』【】《》〈〉\u2400-\u2421\ufffd]+/giu;

/** Punctuation that ends a sentence rather than a URL. */
const TRAILING = ".,;:!?*_~’";

/** @type {Record<string, string>} */
const OPENING_BRACKETS = { ")": "(", "]": "[" };

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
  let links = 0;
  for (const match of text.matchAll(URL_START)) {
    if (links >= MAX_LINKS) break;
    if (match[0].length > MAX_URL_CHARS) continue;
    const found = trimUrl(match[0]);
    const url = parseHttpUrl(found);
    if (!url) continue;
    links += 1;
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
  /** @type {Record<string, number>} number of each bracket. */
  const counts = { "(": 0, ")": 0, "[": 0, "]": 0 };
  for (const character of url) if (character in counts) counts[character] += 1;
  let end = url.length;
  for (; end > 0; end -= 1) {
    const last = url[end - 1];
    const opening = OPENING_BRACKETS[last];
    const isUnopened = opening !== undefined && counts[last] > counts[opening];
    if (isUnopened) counts[last] -= 1;
    else if (!TRAILING.includes(last)) break;
  }
  return url.slice(0, end);
}

/** @param {string} text */
function parseHttpUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : "";
}
