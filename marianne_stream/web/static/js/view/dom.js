/** Elements made from values. Text is always put in as text. */

const SVG = "http://www.w3.org/2000/svg";

const SVG_NAMES = new Set([
  "svg",
  "path",
  "circle",
  "rect",
  "line",
  "polyline",
  "text",
  "g",
  "title",
]);

/**
 * An element: `h("a.job", {href: "/"}, "all jobs")`.
 *
 * @param {string} name with classes behind dots.
 * @param {object} attributes `on…` are listeners, `data-…` and the rest attributes; false, null and
 *   undefined leave one out, true has it without a value.
 * @param {...(Node | string | null | false)} children
 */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = SVG_NAMES.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else attribute(element, key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

/** Sets an attribute, or takes it away. */
export function attribute(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Gives an element a text, unless it has it: selections and readers are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts children into an order, and moves those alone that stand elsewhere. */
export function arrange(parent, children) {
  // First, so that one that has gone moves none of the others: they keep focus and selection.
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** Whether a key was meant for a field that is written in. */
export function isTyping({ target }) {
  return (
    target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select")
  );
}
