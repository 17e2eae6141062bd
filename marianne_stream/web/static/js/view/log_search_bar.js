/** Search bar of a log: text to find, number of matches, the current match, and the filter. */

import { highlightPattern, MAX_TEXT_CHARS, searchParameters } from "../model/log_query.js";
import { LogSearch } from "../model/log_search.js";
import { formatBytes } from "../model/time_format.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/**
 * @typedef {object} SearchBarOptions
 * @property {"log" | "file"} name of what is searched.
 * @property {import("../model/log_pager.js").FetchPage} fetchPage
 * @property {(pattern: RegExp | null) => void} onPattern highlights the text to find; null for none.
 * @property {(cursor: string) => void} onMatch shows a match.
 * @property {(filter: LogFilter | null) => void} onFilter shows matches only; null for all lines.
 * @property {(sentence: string) => void} onAnnounce
 */

/** @typedef {Record<string, string | number>} LogFilter query of the matches, and `context`. */

/** New lines are searched at most once in this time. */
const REFRESH_DELAY_MS = 2_000;

/** Choices for the number of lines around each match. */
const CONTEXTS = [0, 1, 2, 3, 5, 10, 20, 50];

export class LogSearchBar {
  /** @type {LogSearch | null} */
  #search = null;
  /** Text of the search in progress. */
  #text = "";
  #options;
  #count = h("span.count", { role: "status" });
  #regexToggle;
  #filterToggle;
  #contextSelect;
  #stepButtons;
  /** Filter in use, as JSON: it is applied when it changes. */
  #filter = "null";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #refreshTimer;

  /** @param {SearchBarOptions} options */
  constructor(options) {
    this.#options = options;
    this.input = h("input", {
      type: "search",
      placeholder: `Search the whole ${options.name}`,
      "aria-label": `Search the whole ${options.name}`,
      maxlength: MAX_TEXT_CHARS,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onKeyDown(event),
      oninput: () => this.input.value || this.clear(),
    });
    this.#regexToggle = this.#makeToggle(
      { title: "Use a regular expression (RE2)", "aria-label": "Regular expression" },
      () => this.#toggleRegex(),
      ".*",
    );
    this.#regexToggle.classList.add("regex-toggle");
    this.#filterToggle = this.#makeToggle(
      { title: "Show matches only (m)", "aria-label": "Only matches" },
      () => this.toggleFilter(),
      makeIcon("filter"),
      h("span", {}, "Only matches"),
    );
    this.#filterToggle.classList.add("filter-toggle");
    this.#stepButtons = [
      this.#makeStepButton(1, "Next match, towards the start of the log (n, Enter)", "up"),
      this.#makeStepButton(-1, "Previous match, towards its end (N, Shift+Enter)", "down"),
    ];
    this.#contextSelect = makeContextSelect(() => this.#applyFilter());
    this.element = h(
      "div.log-search",
      { role: "search" },
      h("label.search-field", {}, makeIcon("search"), this.input),
      this.#regexToggle,
      this.#stepButtons,
      this.#filterToggle,
      this.#contextSelect,
      this.#count,
    );
    this.#update();
  }

  close() {
    clearTimeout(this.#refreshTimer);
    this.#search?.close();
  }

  /** Count the matches among new lines as well. */
  onNewLines() {
    if (!this.#search) return;
    this.#refreshTimer ??= setTimeout(() => {
      this.#refreshTimer = undefined;
      this.#search?.refresh();
    }, REFRESH_DELAY_MS);
  }

  /**
   * Go to another match: +1 to an older one, -1 to a newer one.
   *
   * @param {number} by
   */
  async step(by) {
    const search = this.#search;
    const match = await search?.step(by);
    if (!search || search !== this.#search) return;
    this.#update();
    const { wrappedTo, hasMore, matches } = search;
    const count = matches.length.toLocaleString("en");
    const reason = hasMore ? `These are the newest ${count} matches` : "No more matches";
    if (wrappedTo) this.#options.onAnnounce(`${reason}: going on at the ${wrappedTo}.`);
    if (match) this.#options.onMatch(match);
  }

  /** End the search, and remove its results. */
  clear() {
    this.#end();
    this.#applyFilter();
  }

  /** End the search, and show all lines. */
  reset() {
    this.input.value = "";
    setAttribute(this.#filterToggle, "aria-pressed", "false");
    this.clear();
  }

  /** Show matches only, or all lines. */
  toggleFilter() {
    const isOn = this.#filterToggle.getAttribute("aria-pressed") === "true";
    setAttribute(this.#filterToggle, "aria-pressed", String(!isOn));
    if (!this.#search && this.input.value) this.#start();
    else if (!isOn && !this.#search) this.input.focus();
    this.#applyFilter();
  }

  /** Search again, if a search is shown. */
  restart() {
    if (this.#search) this.#start();
  }

  /**
   * @param {Record<string, string>} attributes
   * @param {() => void} onclick
   * @param {...(Node | string)} children
   */
  #makeToggle(attributes, onclick, ...children) {
    const pressed = { type: "button", "aria-pressed": "false", onclick };
    return h("button.quiet.toggle", { ...pressed, ...attributes }, ...children);
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

  #end() {
    this.#search?.close();
    this.#search = null;
    this.#options.onPattern(null);
    this.#update();
  }

  /**
   * Tell the filter that is chosen, if it is another one. A text filters once the server has accepted
   * it.
   */
  #applyFilter() {
    const isOn = this.#filterToggle.getAttribute("aria-pressed") === "true";
    this.#contextSelect.hidden = !isOn;
    if (isOn && this.#search && !this.#search.isAccepted && !this.#search.error) return;
    const parameters = searchParameters(this.#text, { regex: this.#isRegex });
    const context = Number(this.#contextSelect.value);
    const filter = isOn && this.#search?.isAccepted ? { ...parameters, context } : null;
    const text = JSON.stringify(filter);
    if (text === this.#filter) return;
    this.#filter = text;
    this.#options.onFilter(filter);
  }

  #start() {
    this.#end();
    this.#text = this.input.value;
    if (!this.#text) {
      this.#applyFilter();
      return;
    }
    const options = { regex: this.#isRegex };
    const parameters = searchParameters(this.#text, options);
    let isShown = false;
    const search = new LogSearch(
      (query, signal) => this.#options.fetchPage({ ...parameters, ...query }, signal),
      () => {
        this.#update();
        this.#applyFilter();
        if (isShown || search.current < 0) return;
        isShown = true;
        // With the filter, the newest match is the last line.
        if (this.#filter === "null") this.#options.onMatch(search.matches[search.current]);
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
function countText({ matches, current, isDone, hasMore, error, readBytes, wrappedTo }) {
  if (error) return error;
  const count = matches.length.toLocaleString("en");
  const progress = isDone ? "" : ` · ${formatBytes(readBytes)} searched …`;
  if (!matches.length) return isDone ? "No matches" : `Searching${progress}`;
  // Counted from the newest.
  const wrapped = wrappedTo ? ` · back at the ${wrappedTo}` : "";
  const total = `${count}${hasMore ? " or more" : ""}`;
  return `${(current + 1).toLocaleString("en")} of ${total}${progress}${wrapped}`;
}

/**
 * Return a label that is short enough for the bar: the choice itself says what these lines are.
 *
 * @param {number} count of lines.
 */
function contextLabel(count) {
  return count === 1 ? "± 1 line" : `± ${count} lines`;
}

/** @param {() => void} onchange */
function makeContextSelect(onchange) {
  const options = CONTEXTS.map((value) => h("option", { value }, contextLabel(value)));
  const attributes = { "aria-label": "Lines around each match", hidden: true, onchange };
  return h("select.context-select", attributes, options);
}
