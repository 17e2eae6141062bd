/** The search of a log: what is looked for, how many matches there are, and which is looked at. */

import { LogSearch } from "../model/log_search.js";
import { parametersOf, patternOf } from "../model/log_query.js";
import { bytes } from "../model/times.js";
import { attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";

/** The bar. */
export class LogSearchBar {
  #search = null;
  #page;
  #onPattern;
  #onMatch;
  #count = h("span.count", { role: "status" });
  #regex;
  #steps;

  /**
   * @param {object} does
   * @param {(parameters: object, signal: AbortSignal) => Promise<object>} does.page asks for a page.
   * @param {(pattern: RegExp | null) => void} does.onPattern marks what is looked for.
   * @param {(match: object) => void} does.onMatch shows a match in its context.
   */
  constructor({ page, onPattern, onMatch }) {
    this.#page = page;
    this.#onPattern = onPattern;
    this.#onMatch = onMatch;
    this.input = h("input", {
      type: "search",
      placeholder: "Search the whole log",
      "aria-label": "Search the whole log",
      onkeydown: (event) => this.#press(event),
      oninput: () => this.input.value || this.clear(),
    });
    this.#regex = h(
      "button.quiet.toggle",
      {
        type: "button",
        title: "As a regular expression (RE2)",
        "aria-label": "Regular expression",
        "aria-pressed": "false",
        onclick: () => this.#toggleRegex(),
      },
      ".*",
    );
    const step = (by, name, shape) =>
      h(
        "button.quiet",
        { type: "button", title: name, "aria-label": name, onclick: () => this.step(by) },
        glyph(shape),
      );
    this.#steps = [step(1, "The match before (N)", "up"), step(-1, "The next match (n)", "down")];
    this.element = h(
      "div.log-search",
      { role: "search" },
      h("label.find", {}, glyph("search"), this.input),
      this.#regex,
      this.#steps,
      this.#count,
    );
    this.#show();
  }

  /** Goes to another match: +1 to an older one, -1 to a newer one. */
  step(by) {
    const match = this.#search?.step(by);
    this.#show();
    if (match) this.#onMatch(match);
  }

  /** Looks for nothing any more. */
  clear() {
    this.#search?.stop();
    this.#search = null;
    this.#onPattern(null);
    this.#show();
  }

  /** What is searched has changed. */
  again() {
    if (this.#search) this.#begin();
  }

  close() {
    this.#search?.stop();
  }

  #press(event) {
    if (event.key === "Enter") {
      const same = this.#search?.text === this.input.value && !this.#search.fault;
      if (same) this.step(event.shiftKey ? -1 : 1);
      else this.#begin();
    } else if (event.key === "Escape") {
      this.input.value = "";
      this.clear();
      this.input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #toggleRegex() {
    const on = this.#regex.getAttribute("aria-pressed") !== "true";
    attribute(this.#regex, "aria-pressed", String(on));
    if (this.#search) this.#begin();
  }

  #begin() {
    this.clear();
    const text = this.input.value;
    if (!text) return;
    const as = { regex: this.#regex.getAttribute("aria-pressed") === "true" };
    let shown = false;
    const search = new LogSearch(
      (place, signal) => this.#page({ ...parametersOf(text, as), ...place }, signal),
      () => {
        this.#show();
        if (shown || search.current < 0) return;
        shown = true;
        this.#onMatch(search.matches[search.current]);
      },
    );
    search.text = text;
    this.#search = search;
    this.#onPattern(patternOf(text, as));
    this.#show();
    search.run();
  }

  #show() {
    const search = this.#search;
    const none = !search?.matches.length;
    for (const step of this.#steps) step.disabled = none;
    attribute(this.#count, "data-fault", search?.fault ? true : null);
    setText(this.#count, search ? countText(search) : "");
  }
}

function countText({ matches, current, done, more, fault, readBytes }) {
  if (fault) return fault;
  const count = matches.length.toLocaleString("en");
  const progress = done ? "" : ` · ${bytes(readBytes)} searched …`;
  if (!matches.length) return done ? "No match" : `Searching${progress}`;
  // Counted from the newest.
  return `${(current + 1).toLocaleString("en")} of ${count}${more ? " or more" : ""}${progress}`;
}
