/** Controls of a log view: level, toggles, jump, copy and download, and a status text. */

import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { load, save } from "./local_storage.js";

/** @type {Record<string, string>} */
const LEVELS = {
  "": "All levels",
  debug: "Debug and above",
  info: "Info and above",
  warning: "Warning and above",
  error: "Errors",
};

/** Choices that are kept from job to job. */
const KEY = "marianne-stream log";

/**
 * @typedef {object} LogControlsOptions
 * @property {() => void} onFollow
 * @property {() => void} onCopy
 * @property {() => void} [onJump]
 * @property {() => void} onLevelChange
 * @property {() => void} onLayoutChange lines are wrapped or not, times are shown or not, or entries
 *   are folded or not.
 */

export class LogControls {
  #layout;
  #status = h("span.log-status");
  #onLayoutChange;

  /**
   * @param {Node[] | null} links shown with the controls; null for the logs of several jobs.
   * @param {LogControlsOptions} options
   */
  constructor(links, { onFollow, onCopy, onJump, onLevelChange, onLayoutChange }) {
    this.#onLayoutChange = onLayoutChange;
    // On a phone times take a row of their own. Several logs are ordered by them.
    const times = links === null || !matchMedia("(max-width: 40rem)").matches;
    this.#layout = { wrap: true, times, fold: false, ...load(KEY, {}) };
    this.levelSelect = h(
      "select",
      { "aria-label": "Level", onchange: onLevelChange },
      Object.entries(LEVELS).map(([value, text]) => h("option", { value }, text)),
    );
    this.followToggle = makeButton("Follow", "down", "Follow new lines (f)", onFollow);
    this.wrapToggle = makeButton("Wrap", "wrap", "Wrap long lines (w)", () => this.toggle("wrap"));
    this.timesToggle = makeButton("Times", "clock", "Show times (s)", () => this.toggle("times"));
    this.foldToggle = makeButton("Fold", "fold", "Fold entries to their first line (e)", () =>
      this.toggle("fold"),
    );
    const copyTitle = "Copy the selected lines, or all visible lines (c)";
    this.element = h(
      "div.bar.foot",
      {},
      this.followToggle,
      this.wrapToggle,
      this.timesToggle,
      this.foldToggle,
      onJump ? makeButton("Go to time", "calendar", "Go to a date and time (d)", onJump) : null,
      makeButton("Copy", "copy", copyTitle, onCopy),
      links,
      this.#status,
    );
  }

  /** Lowest level to show; "" for all. */
  get level() {
    return this.levelSelect.value;
  }

  set level(level) {
    if (level in LEVELS) this.levelSelect.value = level;
  }

  /**
   * Lay out the rows of a log as chosen.
   *
   * @param {import("./virtual_log.js").VirtualLog} rows
   */
  applyTo(rows) {
    const { wrap, times, fold } = this.#layout;
    setAttribute(rows.element, "data-wrap", wrap ? "on" : "off");
    setAttribute(rows.element, "data-times", times ? "on" : "off");
    rows.setLayout({ wrap, fold });
  }

  /**
   * Change the layout, and keep the choice.
   *
   * @param {"wrap" | "times" | "fold"} name
   */
  toggle(name) {
    this.#layout[name] = !this.#layout[name];
    save(KEY, this.#layout);
    this.#onLayoutChange();
  }

  /**
   * Show the state of the toggles, and the status text.
   *
   * @param {{isFollowing: boolean, hasEntries: boolean, status: string}} state
   */
  update({ isFollowing, hasEntries, status }) {
    setAttribute(this.followToggle, "aria-pressed", String(isFollowing));
    setAttribute(this.wrapToggle, "aria-pressed", String(this.#layout.wrap));
    setAttribute(this.timesToggle, "aria-pressed", String(this.#layout.times));
    setAttribute(this.foldToggle, "aria-pressed", String(this.#layout.fold));
    this.foldToggle.hidden = !hasEntries;
    this.showStatus(status);
  }

  /** @param {string} text */
  showStatus(text) {
    setText(this.#status, text);
  }
}

/**
 * @param {string} label
 * @param {string} icon
 * @param {string} title
 * @param {() => void} onclick
 */
function makeButton(label, icon, title, onclick) {
  return h(
    "button.quiet",
    { type: "button", title, onclick },
    makeIcon(icon),
    h("span", {}, label),
  );
}

/**
 * Make the element of a log view.
 *
 * @param {"log" | "file"} name a file has a heading of its own, `file-heading`.
 * @param {{bar: Node[], notes: Node[], body: Node[], foot: Node}} parts
 */
export function makeLogPanel(name, { bar, notes, body, foot }) {
  const heading = name === "log" ? h("h2", { id: "log-heading" }, "Log") : null;
  return h(
    heading ? "section.panel.log" : "section.log.file-log",
    { "aria-labelledby": `${name}-heading` },
    h("div.bar", {}, heading, bar),
    notes,
    h("div.log-body", {}, body),
    foot,
  );
}
