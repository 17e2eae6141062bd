/** Helpers for DOM elements. Text is always inserted as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

const SVG_TAGS = new Set(["svg", "path", "line", "title"]);

/**
 * @template {string} N
 * @typedef {N extends `${infer T}.${string}` ? T : N} TagOf tag of a name with classes.
 */

/**
 * @template {string} N
 * @typedef {TagOf<N> extends keyof HTMLElementTagNameMap
 *   ? HTMLElementTagNameMap[TagOf<N>]
 *   : TagOf<N> extends keyof SVGElementTagNameMap ? SVGElementTagNameMap[TagOf<N>] : HTMLElement} ElementOf
 */

/** @typedef {Node | string | null | false | (Node | string | null | false)[]} Children */

/** @typedef {Record<string, any>} Attributes */

/**
 * Make an element: `h("a.name", {href: "/"}, "all jobs")`.
 *
 * @template {string} N
 * @param {N} name with classes behind dots.
 * @param {Attributes} [attributes] `on…` are listeners; false, null and undefined omit an attribute,
 *   true sets it without a value.
 * @param {...Children} children
 * @returns {ElementOf<N>}
 */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else setAttribute(element, key, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== false) element.append(child);
  }
  return /** @type {any} */ (element);
}

/**
 * Return the element of the page that a selector names.
 *
 * @param {string} selector
 * @returns {HTMLElement}
 * @throws {Error} there is none.
 */
export function findElement(selector) {
  const element = document.querySelector(selector);
  if (!element) throw new Error(`the page has no element ${selector}`);
  return /** @type {HTMLElement} */ (element);
}

/**
 * Set an attribute; remove it for false, null and undefined.
 *
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/**
 * Set the text of an element, unless it is the same: this keeps selections, and live regions silent.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Set the children of an element, moving only those that are out of place.
 *
 * @param {Element} parent
 * @param {Node[]} children
 */
export function setChildren(parent, children) {
  // Removal first: then no other child is moved for it, and they keep focus and selection.
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** Types of inputs that take no text. */
const NO_TEXT = ["button", "checkbox", "color", "file", "radio", "range", "reset", "submit"];
const TEXT_INPUT = `input:not(${NO_TEXT.map((type) => `[type=${type}]`).join(", ")}), textarea`;

/**
 * Return true if the target of an event is a field for text. A select is none: letters are shortcuts.
 *
 * @param {Event} event
 */
export function isTextInput({ target }) {
  return target instanceof HTMLElement && target.matches(TEXT_INPUT);
}
