/** Sentences of a log view: a message while its state lasts, and a note that the reader closes. */

import { plainText } from "../model/ansi.js";
import { h, setText } from "./dom.js";
import { countLines } from "./log_selector.js";

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
 * Return a note on a jump to a time that no line reaches.
 *
 * @param {boolean} isCut only lines of a level or a filter are shown.
 */
export function noLaterLineText(isCut) {
  return isCut
    ? "No line that is shown gives this time or a later one."
    : "There is no line of this time or later: this is the end.";
}

/**
 * Return the state of a log view in words.
 *
 * @param {import("../model/log_window.js").LogWindow} window
 * @param {object} state
 * @param {"log" | "file"} state.name
 * @param {string} state.phase of the stream.
 * @param {object | null} state.filter
 * @param {string} state.level "" for all.
 * @param {boolean} state.isFollowing
 * @param {number} state.selected number of lines.
 */
export function logStatusText(window, { name, phase, filter, level, isFollowing, selected }) {
  const { rows, partial, before, isMissing } = window;
  if (!rows.length && !partial) {
    const isKnown = !before && ["live", "ended"].includes(phase);
    return isKnown ? emptyLogText(name, filter, level) : "";
  }
  if (isMissing && !partial) return `No ${name}`;
  if (selected) return `${countLines(selected)} selected`;
  if (phase === "ended") return `End of the ${name}`;
  if (filter && isFollowing) return "Following matches";
  return isFollowing ? "Following" : "Paused";
}

/**
 * @param {"log" | "file"} name
 * @param {object | null} filter
 * @param {string} level
 */
function emptyLogText(name, filter, level) {
  if (filter) return `No line of this ${name} matches`;
  return level ? "No line has this level" : "No lines yet";
}
