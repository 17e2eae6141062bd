/** Tabs of the job page in a small window, which shows its sheets, its log or its events. */

import { h, setAttribute } from "./dom.js";
import { RovingFocus } from "./roving_focus.js";

/** Windows with tabs: the condition of css/job_layout.css. */
const SMALL = "(max-width: 40rem), (max-height: 30rem)";

/** Windows that begin with the log, such as a phone on its side. */
const LOW = "(max-height: 30rem)";

/** @typedef {"sheets" | "log" | "events"} TabName */

/** @type {Record<TabName, string>} */
const LABELS = { sheets: "Sheets", log: "Log", events: "Events" };

const NAMES = /** @type {TabName[]} */ (Object.keys(LABELS));

export class JobTabs {
  #panels;
  #tabs;
  #focus;
  #small = matchMedia(SMALL);
  #low = matchMedia(LOW);
  /** Chosen tab of an upright and of a low window: a phone that is turned shows its log, and back. */
  #chosen = /** @type {Record<"upright" | "low", TabName>} */ ({ upright: "sheets", low: "log" });
  #closing = new AbortController();

  /** @param {Record<TabName, HTMLElement[]>} panels elements of each tab; the first is its panel. */
  constructor(panels) {
    this.#panels = panels;
    this.#tabs = NAMES.map((name) =>
      h(
        "button.tab",
        { type: "button", role: "tab", id: `tab-${name}`, onclick: () => this.show(name) },
        LABELS[name],
      ),
    );
    this.element = h("div.tabs", { role: "tablist", "aria-label": "Views of the job" }, this.#tabs);
    this.#focus = new RovingFocus(this.element, ".tab", {
      previous: "ArrowLeft",
      next: "ArrowRight",
    });
    this.element.addEventListener("focusin", ({ target }) => {
      const name = NAMES[this.#tabs.indexOf(/** @type {HTMLButtonElement} */ (target))];
      if (name) this.show(name);
    });
    const { signal } = this.#closing;
    for (const query of [this.#small, this.#low]) {
      query.addEventListener("change", () => this.#update(), { signal });
    }
    this.#update();
  }

  close() {
    this.#closing.abort();
  }

  /**
   * Show a tab; without effect on a window that shows everything.
   *
   * @param {TabName} name
   */
  show(name) {
    this.#chosen[this.#orientation] = name;
    this.#update();
  }

  get #orientation() {
    return this.#low.matches ? "low" : "upright";
  }

  #update() {
    const isSmall = this.#small.matches;
    const shown = this.#chosen[this.#orientation];
    this.element.hidden = !isSmall;
    NAMES.forEach((name, index) => {
      const isShown = name === shown;
      const [panel, ...others] = this.#panels[name];
      for (const element of [panel, ...others]) {
        element.classList.toggle("other-tab", isSmall && !isShown);
      }
      panel.id ||= `panel-${name}`;
      setAttribute(panel, "role", isSmall ? "tabpanel" : null);
      setAttribute(this.#tabs[index], "aria-controls", panel.id);
      setAttribute(this.#tabs[index], "aria-selected", String(isShown));
      if (isShown) this.#focus.setCurrent(this.#tabs[index]);
    });
  }
}
