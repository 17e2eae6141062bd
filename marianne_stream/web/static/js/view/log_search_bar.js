/** Search bar of a log: text to find, number of matches, and the current match. */

import { highlightPattern, searchParameters } from "../model/log_query.js";
import { LogSearch } from "../model/log_search.js";
import { formatBytes } from "../model/time_format.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/**
 * @typedef {object} SearchBarOptions
 * @property {import("../model/log_pager.js").FetchPage} fetchPage
 * @property {(pattern: RegExp | null) => void} onPattern highlights the text to find; null for none.
 * @property {(match: import("../model/log_search.js").LogMatch) => void} onMatch shows a match.
 */

export class LogSearchBar {
  /** @type {LogSearch | null} */
  #search = null;
  /** Text of the search in progress. */
  #text = "";
  #options;
  #count = h("span.count", { role: "status" });
  #regexToggle;
  #stepButtons;

  /** @param {SearchBarOptions} options */
  constructor(options) {
    this.#options = options;
    this.input = h("input", {
      type: "search",
      placeholder: "Search the whole log",
      "aria-label": "Search the whole log",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onKeyDown(event),
      oninput: () => this.input.value || this.clear(),
    });
    this.#regexToggle = h(
      "button.quiet.toggle",
      {
        type: "button",
        title: "Use a regular expression (RE2)",
        "aria-label": "Regular expression",
        "aria-pressed": "false",
        onclick: () => this.#toggleRegex(),
      },
      ".*",
    );
    this.#stepButtons = [
      this.#makeStepButton(1, "Previous match (N)", "up"),
      this.#makeStepButton(-1, "Next match (n)", "down"),
    ];
    this.element = h(
      "div.log-search",
      { role: "search" },
      h("label.search-field", {}, makeIcon("search"), this.input),
      this.#regexToggle,
      this.#stepButtons,
      this.#count,
    );
    this.#update();
  }

  close() {
    this.#search?.close();
  }

  /**
   * Go to another match: +1 to an older one, -1 to a newer one.
   *
   * @param {number} by
   */
  step(by) {
    const match = this.#search?.step(by);
    this.#update();
    if (match) this.#options.onMatch(match);
  }

  /** End the search, and remove its results. */
  clear() {
    this.#search?.close();
    this.#search = null;
    this.#options.onPattern(null);
    this.#update();
  }

  /** Search again, if a search is shown. */
  restart() {
    if (this.#search) this.#start();
  }

  /**
   * @param {number} by
   * @param {string} label
   * @param {string} icon
   */
  #makeStepButton(by, label, icon) {
    const onclick = () => this.step(by);
    const attributes = { type: "button", title: label, "aria-label": label, onclick };
    return h("button.quiet", attributes, makeIcon(icon));
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.key === "Enter") {
      const isSame = this.#search && this.#text === this.input.value && !this.#search.error;
      if (isSame) this.step(event.shiftKey ? -1 : 1);
      else this.#start();
    } else if (event.key === "Escape") {
      this.input.value = "";
      this.clear();
      this.input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  get #isRegex() {
    return this.#regexToggle.getAttribute("aria-pressed") === "true";
  }

  #toggleRegex() {
    setAttribute(this.#regexToggle, "aria-pressed", String(!this.#isRegex));
    this.restart();
  }

  #start() {
    this.clear();
    this.#text = this.input.value;
    if (!this.#text) return;
    const options = { regex: this.#isRegex };
    const parameters = searchParameters(this.#text, options);
    let isShown = false;
    const search = new LogSearch(
      (query, signal) => this.#options.fetchPage({ ...parameters, ...query }, signal),
      () => {
        this.#update();
        if (isShown || search.current < 0) return;
        isShown = true;
        this.#options.onMatch(search.matches[search.current]);
      },
    );
    this.#search = search;
    this.#options.onPattern(highlightPattern(this.#text, options));
    this.#update();
    search.run();
  }

  #update() {
    const search = this.#search;
    for (const button of this.#stepButtons) button.disabled = !search?.matches.length;
    setAttribute(this.#count, "data-error", search?.error ? true : null);
    setText(this.#count, search ? countText(search) : "");
  }
}

/** @param {LogSearch} search */
function countText({ matches, current, isDone, hasMore, error, readBytes }) {
  if (error) return error;
  const count = matches.length.toLocaleString("en");
  const progress = isDone ? "" : ` · ${formatBytes(readBytes)} searched …`;
  if (!matches.length) return isDone ? "No matches" : `Searching${progress}`;
  // Counted from the newest.
  return `${(current + 1).toLocaleString("en")} of ${count}${hasMore ? " or more" : ""}${progress}`;
}
