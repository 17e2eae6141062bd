/** Filters and sort of the job list: chips, a field for names, and columns or a list to sort by. */

import { formatJobListUrl, nextSort, parseJobListQuery } from "../model/job_list_query.js";
import { SORTS } from "../model/job_sections.js";
import { statusLabel, TONES } from "../model/status.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/** @typedef {import("../model/job_sections.js").SortKey} SortKey */
/** @typedef {import("../model/status.js").Tone} Tone */

/** @type {Partial<Record<Tone, string>>} */
const TONE_LABELS = { waiting: "queued", unknown: "other" };

export class JobFilters {
  #onChange;
  /** @type {Map<Tone | "", {chip: HTMLElement, count: HTMLElement}>} */
  #chips = new Map();
  /** @type {Map<SortKey, HTMLElement>} */
  #columns = new Map();
  #name;
  #select;
  #turn;
  query = parseJobListQuery(location.search);

  /**
   * @param {() => void} onChange
   * @param {() => void} onEnter is called for Enter in the field for names.
   */
  constructor(onChange, onEnter) {
    this.#onChange = onChange;
    this.#name = h("input", {
      type: "search",
      placeholder: "Filter by name",
      "aria-label": "Filter jobs by name",
      value: this.query.name,
      oninput: () => this.#set({ name: this.#name.value }),
      onkeydown: (/** @type {KeyboardEvent} */ { key }) => {
        if (key === "Enter") onEnter();
      },
    });
    this.#select = this.#makeSelect();
    this.#turn = h("button.quiet.icon-only", { type: "button", onclick: () => this.#turnSort() });
    this.chips = h(
      "div.chips",
      { role: "group", "aria-labelledby": "chips-label" },
      h("span.chips-label", { id: "chips-label" }, "Status"),
      this.#makeChip(""),
      TONES.map((tone) => this.#makeChip(tone)),
    );
    this.field = h("label.search-field", {}, makeIcon("search"), this.#name);
    this.select = h("div.sort", {}, this.#select, this.#turn);
    this.columns = h(
      "div.columns",
      { role: "group", "aria-label": "Sort by" },
      Object.entries(SORTS).map(([key, { label }]) => this.#makeColumn(key, label)),
    );
    this.#updateSort();
  }

  focusName() {
    this.#name.focus();
  }

  clear() {
    this.#name.value = "";
    this.#name.blur();
    this.#set({ name: "", tone: "" });
  }

  /**
   * Show the number of jobs of each status.
   *
   * @param {Partial<Record<Tone, number>>} counts
   * @param {number} total
   */
  showCounts(counts, total) {
    for (const [tone, { chip, count }] of this.#chips) {
      const number = tone ? (counts[tone] ?? 0) : total;
      chip.hidden = tone !== "" && number === 0 && this.query.tone !== tone;
      setText(count, number.toLocaleString("en"));
      setAttribute(chip, "aria-pressed", String(this.query.tone === tone));
    }
  }

  /** @param {Partial<import("../model/job_list_query.js").JobListQuery>} changes */
  #set(changes) {
    this.query = { ...this.query, ...changes };
    history.replaceState(null, "", formatJobListUrl(this.query));
    this.#updateSort();
    this.#onChange();
  }

  /** @param {Tone | ""} tone "" for all jobs. */
  #makeChip(tone) {
    const count = h("span.count");
    const toggle = () => this.#set({ tone: this.query.tone === tone ? "" : tone });
    const chip = h(
      "button.chip",
      {
        type: "button",
        hidden: tone !== "" && tone !== this.query.tone,
        onclick: toggle,
        "data-tone": tone || null,
      },
      tone ? makeIcon(tone) : null,
      tone ? (TONE_LABELS[tone] ?? statusLabel(tone)) : "all",
      count,
    );
    this.#chips.set(tone, { chip, count });
    return chip;
  }

  /**
   * @param {string} name
   * @param {string} label
   */
  #makeColumn(name, label) {
    const key = /** @type {SortKey} */ (name);
    const sort = () => this.#set({ sort: nextSort(this.query.sort, key) });
    const button = h(
      "button",
      { type: "button", "data-column": key, onclick: sort },
      label,
      h("span.direction"),
    );
    this.#columns.set(key, button);
    return button;
  }

  #makeSelect() {
    const options = Object.entries(SORTS).map(([value, { label }]) =>
      h("option", { value }, label),
    );
    const choose = () => {
      const key = /** @type {SortKey | ""} */ (this.#select.value);
      this.#set({ sort: key ? nextSort(null, key) : null });
    };
    return h(
      "select",
      { "aria-label": "Sort by", onchange: choose },
      h("option", { value: "" }, "Most urgent"),
      options,
    );
  }

  #turnSort() {
    const { sort } = this.query;
    if (sort) this.#set({ sort: { ...sort, isAscending: !sort.isAscending } });
  }

  #updateSort() {
    const { sort } = this.query;
    this.#select.value = sort?.key ?? "";
    this.#turn.hidden = !sort;
    const order = sort?.isAscending ? "Ascending" : "Descending";
    const other = sort?.isAscending ? "descending" : "ascending";
    setAttribute(this.#turn, "title", `${order}. Sort ${other}`);
    this.#turn.replaceChildren(
      makeIcon(sort?.isAscending ? "up" : "down"),
      h("span.visually-hidden", {}, `${order}. Sort ${other}`),
    );
    for (const [key, button] of this.#columns) {
      const isSorted = sort?.key === key;
      const direction = sort?.isAscending ? "ascending" : "descending";
      const label = SORTS[key].label;
      setAttribute(button, "aria-pressed", String(isSorted));
      setAttribute(button, "data-direction", isSorted ? direction : null);
      setAttribute(button, "title", isSorted ? `Sorted, ${direction}` : `Sort by ${label}`);
      setText(/** @type {Element} */ (button.lastElementChild), isSorted ? `, ${direction}` : "");
    }
  }
}
