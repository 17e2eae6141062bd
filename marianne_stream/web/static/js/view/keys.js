/** Keys, and the list of them. A view gives its own for as long as it is shown. */

import { h, isTyping } from "./dom.js";

/** @typedef {{key: string, says: string, act: (event: KeyboardEvent) => void}} Key */

/** The keys of the page and of the view that is shown. */
export class Keys {
  #everywhere;
  #here = [];
  #dialog;
  #list;

  /**
   * @param {HTMLDialogElement} dialog shows the list.
   * @param {Key[]} everywhere
   */
  constructor(dialog, everywhere) {
    this.#dialog = dialog;
    this.#list = dialog.querySelector("dl");
    this.#everywhere = [...everywhere, { key: "?", says: "this list", act: () => this.showList() }];
    document.addEventListener("keydown", (event) => this.#press(event));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  /** The view that is shown has these. */
  use(keys) {
    this.#here = keys;
  }

  /** Shows the list. */
  showList() {
    const rows = [...this.#here, ...this.#everywhere].map(({ key, says }) => [
      h("dt", {}, h("kbd", {}, key === " " ? "space" : key)),
      h("dd", {}, says),
    ]);
    this.#list.replaceChildren(...rows.flat());
    this.#dialog.showModal();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#dialog.open) return;
    const typing = isTyping(event);
    if (typing && event.key !== "Escape") return;
    // What has the focus takes these for itself: a button is pressed, a list is scrolled.
    const forOthers = event.key === "Enter" || event.key === " ";
    if (forOthers && !event.target.matches("body, main, .log-rows")) return;
    const found = [...this.#here, ...this.#everywhere].find(({ key }) => key === event.key);
    if (!found) return;
    event.preventDefault();
    found.act(event);
  }
}
