/** Keyboard shortcuts of the page and of the current view, and the dialog that lists them. */

import { h, isTextInput } from "./dom.js";

/**
 * @typedef {object} Shortcut
 * @property {string} key value of `KeyboardEvent.key`.
 * @property {string} label
 * @property {(event: KeyboardEvent) => void} run
 */

/** @type {Record<string, string>} */
const KEY_LABELS = { " ": "Space", Escape: "Esc" };

export class Shortcuts {
  #pageShortcuts;
  /** @type {Shortcut[]} */
  #viewShortcuts = [];
  #dialog;
  #list;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {Shortcut[]} pageShortcuts
   */
  constructor(dialog, pageShortcuts) {
    this.#dialog = dialog;
    this.#list = /** @type {HTMLElement} */ (dialog.querySelector("dl"));
    this.#pageShortcuts = [
      ...pageShortcuts,
      { key: "?", label: "Keyboard shortcuts", run: () => this.showList() },
    ];
    document.addEventListener("keydown", (event) => this.#onKeyDown(event));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  /**
   * Set the shortcuts of the current view.
   *
   * @param {Shortcut[]} shortcuts
   */
  setView(shortcuts) {
    this.#viewShortcuts = shortcuts;
  }

  /** Open the dialog. */
  showList() {
    const rows = [...this.#viewShortcuts, ...this.#pageShortcuts].map(({ key, label }) => [
      h("dt", {}, h("kbd", {}, KEY_LABELS[key] ?? key)),
      h("dd", {}, label),
    ]);
    this.#list.replaceChildren(...rows.flat());
    this.#dialog.showModal();
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTextInput(event) && event.key !== "Escape") return;
    // Enter and space belong to the focused element, such as a button.
    const isForTarget = event.key === "Enter" || event.key === " ";
    const { target } = event;
    if (isForTarget && !(target instanceof Element && target.matches("body, main, .log-rows"))) {
      return;
    }
    const shortcuts = [...this.#viewShortcuts, ...this.#pageShortcuts];
    const shortcut = shortcuts.find(({ key }) => key === event.key);
    if (!shortcut) return;
    event.preventDefault();
    shortcut.run(event);
  }
}
