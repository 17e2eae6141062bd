/**
 * Text of a log line: styles, links, and matches of the search. It has a limit of elements, since a
 * line may change its style with each character; the rest is plain text.
 */

import { findMatches } from "../model/log_query.js";
import { splitLinks } from "../model/text_links.js";
import { h } from "./dom.js";

/** @typedef {import("../model/ansi.js").TextRun} TextRun */
/** @typedef {(Node | string)[]} Nodes */

/** @type {("bold" | "dim" | "italic" | "underline" | "strike")[]} */
const STYLE_CLASSES = ["bold", "dim", "italic", "underline", "strike"];

export class LogText {
  #pattern;
  /** Number of elements that may still be made. */
  #remaining;

  /**
   * @param {RegExp | null} pattern text to highlight.
   * @param {number} maxElements
   */
  constructor(pattern, maxElements) {
    this.#pattern = pattern;
    this.#remaining = maxElements;
  }

  /**
   * Make the nodes of a line: its message, and the fields of a JSON line.
   *
   * @param {import("../model/log_line.js").ParsedLine} line
   * @returns {Nodes}
   */
  makeLine({ runs, fields }) {
    const nodes = this.makeRuns(runs);
    for (const [index, [name, value]] of fields.entries()) {
      if (this.#remaining < 2) {
        const rest = fields.slice(index).map(([key, text]) => ` ${key}=${text}`);
        return [...nodes, rest.join("")];
      }
      this.#remaining -= 2;
      const label = h("span.field-name", {}, `${name}=`);
      nodes.push(" ", h("span.field", {}, label, this.make(value)));
    }
    return nodes;
  }

  /**
   * Make the nodes of text without styles.
   *
   * @param {string} text
   */
  make(text) {
    return this.makeRuns([{ text, style: {} }]);
  }

  /**
   * Make the nodes of styled text. A link may change its style.
   *
   * @param {TextRun[]} runs
   * @returns {Nodes}
   */
  makeRuns(runs) {
    const text = runs.map((run) => run.text).join("");
    const take = makeTaker(runs);
    /** @type {Nodes} */
    const nodes = [];
    let end = 0;
    for (const { text: piece, url } of splitLinks(text)) {
      /** @type {Nodes} */
      const inner = [];
      for (const run of take(piece.length)) {
        if (this.#remaining <= 0) return [...nodes, ...inner, text.slice(end)];
        inner.push(...this.#makeRun(run));
        end += run.text.length;
      }
      nodes.push(...(url ? [this.#makeLink(url, inner)] : inner));
    }
    return nodes;
  }

  /**
   * @param {string} url
   * @param {Nodes} nodes
   */
  #makeLink(url, nodes) {
    this.#remaining -= 1;
    const attributes = { href: url, target: "_blank", rel: "noopener noreferrer", tabindex: -1 };
    return h("a.link", attributes, nodes);
  }

  /**
   * @param {TextRun} run
   * @returns {Nodes}
   */
  #makeRun({ text, style }) {
    const pieces = this.#highlight(text);
    if (!Object.values(style).some(Boolean)) return pieces;
    this.#remaining -= 1;
    const { fg, bg } = style.inverse
      ? { fg: style.bg ?? "background", bg: style.fg ?? "text" }
      : style;
    const span = h("span.ansi", {}, pieces);
    span.classList.add(...STYLE_CLASSES.filter((name) => style[name]));
    setColour(span, "fg", fg);
    setColour(span, "bg", bg);
    return [span];
  }

  /**
   * @param {string} text
   * @returns {Nodes}
   */
  #highlight(text) {
    if (!this.#pattern) return [text];
    const pieces = [];
    let from = 0;
    for (const match of findMatches(text, this.#pattern)) {
      if (this.#remaining <= 0) break;
      this.#remaining -= 1;
      pieces.push(text.slice(from, match.index), h("mark", {}, match[0]));
      from = match.index + match[0].length;
    }
    pieces.push(text.slice(from));
    return pieces.filter((piece) => piece !== "");
  }
}

/**
 * Make a function that takes text of some length from the beginning of what is left of runs.
 *
 * @param {TextRun[]} runs
 */
function makeTaker(runs) {
  let at = 0;
  let offset = 0;
  return function* take(/** @type {number} */ length) {
    for (let left = length; left > 0;) {
      const { text, style } = runs[at];
      const part = text.slice(offset, offset + left);
      left -= part.length;
      offset += part.length;
      if (offset === text.length) [at, offset] = [at + 1, 0];
      if (part) yield { text: part, style };
    }
  };
}

/**
 * @param {HTMLElement} span
 * @param {"fg" | "bg"} which
 * @param {string | undefined} colour
 */
function setColour(span, which, colour) {
  if (!colour) return;
  if (colour.startsWith("#")) {
    span.style.setProperty(which === "fg" ? "color" : "background-color", colour);
  } else span.setAttribute(`data-${which}`, colour);
}
