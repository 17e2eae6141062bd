/** Browser tab: title and icon, which also show the number of failed jobs. */

const NAME = "Marianne";

/**
 * Return the address of an icon of the page.
 *
 * @param {string} name
 */
export function iconUrl(name) {
  return new URL(`../../icons/${name}.svg`, import.meta.url).pathname;
}

export class Tab {
  #icon;
  #title = NAME;
  #failed = 0;

  /** @param {Element} icon the page's `link[rel=icon]`. */
  constructor(icon) {
    this.#icon = icon;
  }

  /**
   * Set the title of the view.
   *
   * @param {string} title
   */
  setTitle(title) {
    this.#title = title;
    this.#update();
  }

  /**
   * Set the number of failed jobs, and the icon.
   *
   * @param {number} failed
   * @param {"failed" | "running" | "idle" | "offline"} icon
   */
  setBadge(failed, icon) {
    this.#failed = failed;
    const href = iconUrl(icon);
    if (this.#icon.getAttribute("href") !== href) this.#icon.setAttribute("href", href);
    this.#update();
  }

  #update() {
    const failed = this.#failed ? `(${this.#failed} failed) ` : "";
    const title = `${failed}${this.#title} · ${NAME}`;
    if (document.title !== title) document.title = title;
  }
}
