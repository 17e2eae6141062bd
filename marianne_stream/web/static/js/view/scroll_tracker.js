/** Scroll tracker: tells scrolling by the user from scrolling by the page. */

/** Scroll events this soon after user input are the user's; any other are the page's own. */
const USER_SCROLL_MS = 1_000;

const INPUT_EVENTS = ["wheel", "touchmove", "pointerdown", "pointermove", "keydown"];

export class ScrollTracker {
  /** Scroll position that the page set, or to which the user scrolled. */
  position = -1;
  #inputAt = 0;

  /** @param {HTMLElement} element */
  constructor(element) {
    for (const type of INPUT_EVENTS) {
      element.addEventListener(type, (event) => this.#onInput(event), { passive: true });
    }
  }

  /**
   * Return how far the user has scrolled down; 0 if the page scrolled.
   *
   * @param {number} scrollTop
   */
  userScroll(scrollTop) {
    const distance = scrollTop - this.position;
    if (Date.now() - this.#inputAt >= USER_SCROLL_MS || Math.abs(distance) <= 1) return 0;
    this.position = scrollTop;
    return distance;
  }

  /** @param {Event} event */
  #onInput(event) {
    const isHover = event.type === "pointermove" && !(/** @type {PointerEvent} */ (event).buttons);
    if (!isHover) this.#inputAt = Date.now();
  }
}
