/** Roving tabindex (ARIA): Tab reaches one element of a group, arrow keys reach the others. */

/**
 * @typedef {object} RovingOptions
 * @property {string} previous value of `KeyboardEvent.key`.
 * @property {string} next
 * @property {string} [row] selector of the rows of the elements: Tab reaches what else is in a row only
 *   from its element.
 */

export class RovingFocus {
  #group;
  #selector;
  #options;
  /** @type {HTMLElement | null} the element that had the focus last. */
  #current = null;

  /**
   * @param {HTMLElement} group
   * @param {string} selector of the elements in the group.
   * @param {RovingOptions} options
   */
  constructor(group, selector, options) {
    this.#group = group;
    this.#selector = selector;
    this.#options = options;
    group.addEventListener("keydown", (event) => this.#onKeyDown(event));
    group.addEventListener("focusin", ({ target }) => {
      const element = /** @type {Element} */ (target).closest(selector);
      if (element) this.setCurrent(/** @type {HTMLElement} */ (element));
    });
  }

  /** @param {HTMLElement} element that Tab reaches from now on. */
  setCurrent(element) {
    this.#current = element;
    this.update();
  }

  /** Let Tab reach the element that had the focus last, or else the first; call it after each change. */
  update() {
    const elements = this.#elements;
    if (this.#current && !elements.includes(this.#current)) this.#current = null;
    const stop = this.#current ?? elements[0];
    for (const element of elements) {
      const index = element === stop ? 0 : -1;
      for (const each of [element, ...this.#beside(element)]) {
        if (each.tabIndex !== index || !each.hasAttribute("tabindex")) each.tabIndex = index;
      }
    }
  }

  /**
   * Move the focus by some elements; into the group, to the one that Tab reaches.
   *
   * @param {number} by +1 to the next element.
   */
  step(by) {
    const elements = this.#elements;
    const stop = Math.max(
      0,
      elements.findIndex(({ tabIndex }) => tabIndex === 0),
    );
    const hasFocus = this.#group.contains(document.activeElement);
    elements[hasFocus ? stop + by : stop]?.focus();
  }

  /** @param {HTMLElement} element */
  #beside(element) {
    const row = this.#options.row ? element.closest(this.#options.row) : null;
    const all = /** @type {HTMLElement[]} */ ([...(row?.querySelectorAll("a, button") ?? [])]);
    return all.filter((other) => other !== element);
  }

  get #elements() {
    return /** @type {HTMLElement[]} */ ([...this.#group.querySelectorAll(this.#selector)]);
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const elements = this.#elements;
    const index = elements.indexOf(/** @type {HTMLElement} */ (event.target));
    if (index < 0) return;
    const { previous, next } = this.#options;
    /** @type {Record<string, HTMLElement | undefined>} */
    const targets = {
      [previous]: elements[index - 1],
      [next]: elements[index + 1],
      Home: elements[0],
      End: elements.at(-1),
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    targets[event.key]?.focus();
  }
}
