/** Dark or light: as the system has it, or as one chose. */

import { setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { keep, recall } from "./store.js";

const KEY = "marianne-stream theme";
const NEXT = { auto: "dark", dark: "light", light: "auto" };
const PICTURES = { auto: "auto", dark: "moon", light: "sun" };
const WORDS = { auto: "as the system", dark: "dark", light: "light" };

/** The switch, and what it switches. */
export class Theme {
  #button;

  /** @param {HTMLButtonElement} button */
  constructor(button) {
    this.#button = button;
    button.addEventListener("click", () => this.next());
    this.#show(recall(KEY, "auto"));
  }

  /** Goes on to the next of the three. */
  next() {
    const theme = NEXT[document.documentElement.dataset.theme ?? "auto"] ?? "auto";
    keep(KEY, theme);
    this.#show(theme);
  }

  #show(theme) {
    const known = NEXT[theme] ? theme : "auto";
    document.documentElement.dataset.theme = known;
    const label = `Colours: ${WORDS[known]}`;
    this.#button.title = label;
    this.#button.replaceChildren(glyph(PICTURES[known]), labelled(label));
  }
}

function labelled(text) {
  const label = document.createElement("span");
  label.className = "unseen";
  setText(label, text);
  return label;
}
