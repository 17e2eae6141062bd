/** Rendered Markdown of a workspace: elements and attributes of a short list only, made anew. */

import { h } from "./dom.js";

const HTML = "http://www.w3.org/1999/xhtml";

const TAGS = new Set(
  (
    "a blockquote br code em hr li ol p pre span strong table tbody td th thead tr ul " +
    "h1 h2 h3 h4 h5 h6"
  ).split(" "),
);

const EXTERNAL = new Set(["http:", "https:", "mailto:"]);

/** Headings of a text are below those of the page. */
const HEADING_OFFSET = 2;

/**
 * Make the elements of rendered Markdown.
 *
 * @param {string} html fragment of the server.
 * @param {(href: string) => string} resolve returns the address of a relative link; "" for none.
 */
export function makeMarkdown(html, resolve) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  return h("div.markdown", {}, copyChildren(body, resolve));
}

/**
 * @param {Element} parent
 * @param {(href: string) => string} resolve
 * @returns {(Node | string)[]}
 */
function copyChildren(parent, resolve) {
  return [...parent.childNodes].map((node) =>
    node instanceof Element ? copyElement(node, resolve) : (node.textContent ?? ""),
  );
}

/**
 * @param {Element} element
 * @param {(href: string) => string} resolve
 * @returns {Node | string}
 */
function copyElement(element, resolve) {
  const tag = element.localName;
  if (element.namespaceURI !== HTML || !TAGS.has(tag)) return element.textContent ?? "";
  const children = copyChildren(element, resolve);
  if (tag === "a" || tag === "span") {
    const attributes = linkAttributes(element, resolve);
    return attributes ? h("a", attributes, children) : h("span", {}, children);
  }
  const level = /^h([1-6])$/.exec(tag)?.[1];
  if (level) return h(`h${Math.min(6, Number(level) + HEADING_OFFSET)}`, {}, children);
  if (tag === "pre") return h("pre", { tabindex: 0 }, children);
  if (tag === "table") {
    const label = { tabindex: 0, role: "region", "aria-label": "Table" };
    return h("div.table", label, h("table", {}, children));
  }
  return h(tag, { align: element.getAttribute("align"), start: listStart(element) }, children);
}

/** @param {Element} element */
function listStart(element) {
  return element.localName === "ol" ? element.getAttribute("start") : null;
}

/**
 * Return the attributes of a link that may be followed; null for any other.
 *
 * @param {Element} element
 * @param {(href: string) => string} resolve
 */
function linkAttributes(element, resolve) {
  const relative = element.getAttribute("data-href");
  const address = relative ? resolve(relative) : "";
  if (address) return { href: address };
  const href = element.getAttribute("href") ?? "";
  const url = URL.canParse(href) ? new URL(href) : null;
  if (!url || !EXTERNAL.has(url.protocol)) return null;
  return { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" };
}
