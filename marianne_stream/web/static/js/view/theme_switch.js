/** Theme switch: dark, light, or the system's setting. */

import { h } from "./dom.js";
import { makeIcon } from "./icons.js";
import { load, save } from "./local_storage.js";

/** @typedef {"auto" | "dark" | "light"} Theme */

const KEY = "marianne-stream theme";

/** @type {Record<Theme, {next: Theme, icon: string, label: string}>} */
const THEMES = {
  auto: { next: "dark", icon: "auto", label: "system" },
  dark: { next: "light", icon: "moon", label: "dark" },
  light: { next: "auto", icon: "sun", label: "light" },
};

export class ThemeSwitch {
  #button;
  /** @type {Theme} */
  #theme = "auto";

  /** @param {HTMLElement} button */
  constructor(button) {
    this.#button = button;
    button.addEventListener("click", () => this.next());
    this.#show(load(KEY, "auto"));
  }

  /** Change to the next theme. */
  next() {
    this.#show(THEMES[this.#theme].next);
    save(KEY, this.#theme);
  }

  /** @param {Theme} theme as it was saved; it may be invalid. */
  #show(theme) {
    this.#theme = Object.hasOwn(THEMES, theme) ? theme : "auto";
    document.documentElement.dataset.theme = this.#theme;
    const { icon, label } = THEMES[this.#theme];
    this.#button.title = `Theme: ${label} (t)`;
    this.#button.replaceChildren(makeIcon(icon), h("span.visually-hidden", {}, this.#button.title));
  }
}
