/** Tabs of the job page: log and files; in a small window also sheets and events, one at a time. */

import { h, setAttribute } from "./dom.js";
import { RovingFocus } from "./roving_focus.js";

/** Windows with one tab at a time: the condition of css/job_layout.css. */
const SMALL = "(max-width: 40rem), (max-height: 30rem)";

/** Windows that begin with the log, such as a phone on its side. */
const LOW = "(max-height: 30rem)";

/** @typedef {"sheets" | "log" | "files" | "events"} TabName */

/** @type {Record<TabName, string>} */
const LABELS = { sheets: "Sheets", log: "Log", files: "Files", events: "Events" };

const NAMES = /** @type {TabName[]} */ (Object.keys(LABELS));

/** @type {TabName[]} tabs of a window that shows sheets and events beside them. */
const MAIN_NAMES = ["log", "files"];

export class JobTabs {
  #panels;
  #onFilesShown;
  #small = matchMedia(SMALL);
  #low = matchMedia(LOW);
  /** Chosen tab of an upright and of a low window: a phone that is turned shows its log, and back. */
  #chosen = /** @type {Record<"upright" | "low", TabName>} */ ({ upright: "sheets", low: "log" });
  /** @type {TabName} chosen tab of a large window. */
  #main = "log";
  /** @type {TabName} tab of a small window that was shown before the files. */
  #beforeFiles = "log";
  #areFilesShown = false;
  #closing = new AbortController();
  #all = new TabList(NAMES, "tab", "Views of the job", (name) => this.show(name));
  #both = new TabList(MAIN_NAMES, "main-tab", "Log or files", (name) => this.show(name));

  /**
   * @param {Record<TabName, HTMLElement[]>} panels elements of each tab; the first is its panel.
   * @param {(isShown: boolean, isChosen: boolean) => void} onFilesShown is called when the files are
   *   shown or hidden: by a choice, or because the window has another size.
   */
  constructor(panels, onFilesShown) {
    this.#panels = panels;
    this.#onFilesShown = onFilesShown;
    this.element = this.#all.element;
    this.mainElement = this.#both.element;
    const { signal } = this.#closing;
    for (const query of [this.#small, this.#low]) {
      query.addEventListener("change", () => this.#update(false), { signal });
    }
    this.#update(false);
  }

  close() {
    this.#closing.abort();
  }

  /**
   * Show a tab. A large window shows sheets and events always.
   *
   * @param {TabName} name
   */
  show(name) {
    const before = this.#chosen[this.#orientation];
    if (before !== "files") this.#beforeFiles = before;
    this.#chosen[this.#orientation] = name;
    if (MAIN_NAMES.includes(name)) this.#main = name;
    this.#update(true);
  }

  /** Show what was shown before the files, if these are shown. */
  leaveFiles() {
    if (!this.isShown("files")) return;
    this.#main = "log";
    this.show(this.#small.matches ? this.#beforeFiles : "log");
  }

  /** Show the sheets, and leave the tab of a large window as it is. */
  showSheets() {
    if (this.#small.matches) this.show("sheets");
  }

  /** @param {TabName} name */
  isShown(name) {
    if (this.#small.matches) return name === this.#chosen[this.#orientation];
    return name === this.#main || !MAIN_NAMES.includes(name);
  }

  get #orientation() {
    return this.#low.matches ? "low" : "upright";
  }

  /** @param {boolean} isChosen */
  #update(isChosen) {
    const isSmall = this.#small.matches;
    const list = isSmall ? this.#all : this.#both;
    this.#all.element.hidden = !isSmall;
    this.#both.element.hidden = isSmall;
    for (const name of NAMES) {
      const [panel, ...others] = this.#panels[name];
      for (const element of [panel, ...others]) {
        element.classList.toggle("other-tab", !this.isShown(name));
      }
      panel.id ||= `panel-${name}`;
      setAttribute(panel, "role", list.names.includes(name) ? "tabpanel" : null);
    }
    list.update(isSmall ? this.#chosen[this.#orientation] : this.#main, this.#panels);
    const areFilesShown = this.isShown("files");
    if (areFilesShown === this.#areFilesShown) return;
    this.#areFilesShown = areFilesShown;
    this.#onFilesShown(areFilesShown, isChosen);
  }
}

class TabList {
  #tabs;
  #focus;

  /**
   * @param {TabName[]} names
   * @param {string} id prefix of the ids of the tabs.
   * @param {string} label
   * @param {(name: TabName) => void} onShow
   */
  constructor(names, id, label, onShow) {
    this.names = names;
    this.#tabs = names.map((name) =>
      h(
        "button.tab",
        { type: "button", role: "tab", id: `${id}-${name}`, onclick: () => onShow(name) },
        LABELS[name],
      ),
    );
    this.element = h("div.tabs", { role: "tablist", "aria-label": label }, this.#tabs);
    this.#focus = new RovingFocus(this.element, ".tab", {
      previous: "ArrowLeft",
      next: "ArrowRight",
    });
    // A key has moved the focus. A tab that gets it back with its window is not chosen by that.
    this.element.addEventListener("keydown", ({ target }) => {
      const { activeElement } = document;
      const name = names[this.#tabs.indexOf(/** @type {HTMLButtonElement} */ (activeElement))];
      if (name && activeElement !== target) onShow(name);
    });
  }

  /**
   * @param {TabName} shown
   * @param {Record<TabName, HTMLElement[]>} panels
   */
  update(shown, panels) {
    this.names.forEach((name, index) => {
      setAttribute(this.#tabs[index], "aria-controls", panels[name][0].id);
      setAttribute(this.#tabs[index], "aria-selected", String(name === shown));
      if (name === shown) this.#focus.setCurrent(this.#tabs[index]);
    });
  }
}
