/** What the tab says while one looks elsewhere: its title and its icon. */

const NAME = "Marianne";

/** The tab of this page. */
export class Tab {
  #icon = document.querySelector("link[rel=icon]");
  #title = NAME;
  #failed = 0;

  /** What is looked at. */
  title(text) {
    this.#title = text;
    this.#show();
  }

  /**
   * How many jobs have failed, and what the icon shows.
   *
   * @param {number} failed
   * @param {"failed" | "running" | "calm" | "away"} look
   */
  alarm(failed, look) {
    this.#failed = failed;
    const href = `/static/icons/${look}.svg`;
    if (this.#icon.getAttribute("href") !== href) this.#icon.setAttribute("href", href);
    this.#show();
  }

  #show() {
    const failed = this.#failed ? `(${this.#failed} failed) ` : "";
    const title = `${failed}${this.#title} · ${NAME}`;
    if (document.title !== title) document.title = title;
  }
}
