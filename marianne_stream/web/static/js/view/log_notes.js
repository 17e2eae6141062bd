/** Sentences of a log view: a message while its state lasts, and a note that the reader closes. */

import { plainText } from "../model/ansi.js";
import { h, setText } from "./dom.js";

export class LogNotes {
  #noteText = h("span");
  message = h("p.log-message", { hidden: true, role: "status" });
  note = h(
    "p.log-note",
    { hidden: true, role: "status" },
    this.#noteText,
    h("button.quiet", { type: "button", onclick: () => this.showNote("") }, "Close"),
  );

  /** @param {string} sentence "" for no message. */
  showMessage(sentence) {
    this.message.hidden = !sentence;
    setText(this.message, plainText(sentence));
  }

  /** @param {string} sentence "" for no note. */
  showNote(sentence) {
    this.note.hidden = !sentence;
    setText(this.#noteText, sentence);
  }
}

/**
 * Return a sentence on a log of which no line is shown.
 *
 * @param {object | null} filter
 * @param {string} level "" for all.
 */
export function emptyLogText(filter, level) {
  if (filter) return "No line of this log matches";
  return level ? "No line has this level" : "No lines yet";
}
