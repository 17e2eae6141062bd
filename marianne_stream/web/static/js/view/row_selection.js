/** The browser's selection in the rows of a log, kept while their elements are replaced. */

/**
 * @typedef {object} Place end of a selection.
 * @property {Node} node
 * @property {number} offset
 * @property {HTMLElement | null} row in which it is; null outside of the rows.
 * @property {number} chars number of characters of the row before it.
 */

/**
 * Replace elements of rows, and keep the selection in the rows with the same serials.
 *
 * @param {HTMLElement} container of the rows.
 * @param {() => void} replace
 */
export function keepSelection(container, replace) {
  const selection = document.getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection ?? {};
  if (!selection || selection.isCollapsed || !anchorNode || !focusNode) {
    replace();
    return;
  }
  const places = [
    findPlace(container, anchorNode, anchorOffset ?? 0),
    findPlace(container, focusNode, focusOffset ?? 0),
  ];
  replace();
  if (places.every(({ row }) => !row || row.isConnected)) return;
  const [anchor, focus] = places.map((place) => restorePlace(container, place));
  selection.setBaseAndExtent(anchor.node, anchor.offset, focus.node, focus.offset);
}

/**
 * @param {HTMLElement} container
 * @param {Node} node
 * @param {number} offset
 * @returns {Place}
 */
function findPlace(container, node, offset) {
  const child = node === container ? container.children[offset] : node;
  const element = child instanceof Element ? child : node.parentElement;
  const row = /** @type {HTMLElement | null} */ (element?.closest(".row[data-serial]") ?? null);
  if (!row || !container.contains(row)) return { node, offset, row: null, chars: 0 };
  const before = document.createRange();
  before.setStart(row, 0);
  if (node !== container) before.setEnd(node, offset);
  return { node, offset, row, chars: before.toString().length };
}

/**
 * Return the place in the element that a row has now.
 *
 * @param {HTMLElement} container
 * @param {Place} place
 * @returns {{node: Node, offset: number}}
 */
function restorePlace(container, place) {
  const { row, chars } = place;
  if (!row || row.isConnected) return place;
  const now = container.querySelector(`.row[data-serial="${row.dataset.serial}"]`);
  if (!now) return { node: container, offset: 0 };
  const texts = document.createTreeWalker(now, NodeFilter.SHOW_TEXT);
  let rest = chars;
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const { length } = text.textContent ?? "";
    if (rest <= length) return { node: text, offset: rest };
    rest -= length;
  }
  return { node: now, offset: now.childNodes.length };
}
