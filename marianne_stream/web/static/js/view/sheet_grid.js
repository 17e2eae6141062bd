/** Grid of a job's sheets, one row of cells for each movement; a cell opens the details of its sheet. */

import { plainText } from "../model/ansi.js";
import { statusLabel, statusTone } from "../model/status.js";
import { h, setAttribute, setChildren } from "./dom.js";
import { makeIcon } from "./icons.js";

/** @typedef {import("../model/job.js").Sheet} Sheet */

/** Number of sheets above which cells are small and have no number. */
const MAX_LARGE_CELLS = 80;

export class SheetGrid {
  /** @type {Map<number, HTMLButtonElement>} */
  #cells = new Map();
  /** @type {Map<string, {element: HTMLElement, cells: HTMLElement}>} */
  #rows = new Map();
  #grid = h("div.movements");
  #details = h("div.sheet-details", { role: "status", hidden: true });
  /** @type {import("../model/job.js").Job | null} */
  #job = null;
  /** @type {number | null} */
  #selected = null;
  #shownDetails = "";

  constructor() {
    this.element = h(
      "section.panel.sheets",
      { "aria-labelledby": "sheets-heading" },
      h("h2", { id: "sheets-heading" }, "Sheets"),
      this.#grid,
      this.#details,
    );
    this.#grid.addEventListener("keydown", (event) => this.#onKeyDown(event));
  }

  /**
   * Show the sheets of a job.
   *
   * @param {import("../model/job.js").Job} job
   */
  show(job) {
    this.#job = job;
    const { movements, sheets } = job;
    setAttribute(this.#grid, "data-many", sheets.length > MAX_LARGE_CELLS);
    const rows = movements.map(({ movement, sheets: own }) => this.#updateRow(movement, own));
    setChildren(this.#grid, rows.length ? rows : [h("p.muted", {}, "No sheets yet.")]);
    this.#updateSelection();
  }

  /**
   * @param {string | number | null} movement
   * @param {Sheet[]} sheets
   */
  #updateRow(movement, sheets) {
    const name = movement === null ? "" : `Movement ${movement}`;
    const row = this.#rows.get(name) ?? makeMovementRow(name);
    this.#rows.set(name, row);
    setChildren(
      row.cells,
      sheets.map((sheet) => this.#updateCell(sheet)),
    );
    return row.element;
  }

  /** @param {Sheet} sheet */
  #updateCell({ number, status, instrument_name: instrument, error_message: error }) {
    const cell = this.#cells.get(number) ?? this.#makeCell(number);
    const tone = statusTone(status);
    if (cell.dataset.tone !== tone) {
      setAttribute(cell, "data-tone", tone);
      cell.replaceChildren(makeIcon(tone), h("span.number", {}, String(number)));
    }
    const label = [`Sheet ${number}`, statusLabel(status), instrument, error && "has an error"]
      .filter(Boolean)
      .join(", ");
    setAttribute(cell, "aria-label", label);
    setAttribute(cell, "title", label);
    return cell;
  }

  /** @param {number} number */
  #makeCell(number) {
    const onclick = () => this.#toggle(number);
    const cell = h("button.sheet", { type: "button", tabindex: -1, onclick });
    this.#cells.set(number, cell);
    return cell;
  }

  /** @param {number} number */
  #toggle(number) {
    this.#selected = this.#selected === number ? null : number;
    this.#updateSelection();
  }

  /** Show the details of the selected sheet. One cell is reached by Tab (ARIA, roving tabindex). */
  #updateSelection() {
    const tabStop = this.#selected ?? this.#job?.sheets[0]?.number;
    for (const [number, cell] of this.#cells) {
      cell.tabIndex = number === tabStop ? 0 : -1;
      setAttribute(cell, "aria-expanded", String(number === this.#selected));
    }
    const sheet = this.#job?.getSheet(this.#selected);
    if (sheet) this.#showDetails(sheet);
    else this.#details.hidden = true;
  }

  /** @param {Sheet} sheet */
  #showDetails(sheet) {
    // Elements made anew would lose focus and selection, and be read out again.
    const text = JSON.stringify(sheet);
    if (text === this.#shownDetails && !this.#details.hidden) return;
    this.#shownDetails = text;
    const { number, status, instrument_name: instrument, movement, error_message: error } = sheet;
    const facts = [
      ["Status", statusLabel(status)],
      ["Instrument", instrument],
      ["Movement", movement],
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    this.#details.replaceChildren(
      h("h3", {}, `Sheet ${number}`),
      h(
        "dl",
        {},
        facts.flatMap(([name, value]) => [
          h("dt", {}, String(name)),
          h("dd", {}, plainText(String(value))),
        ]),
      ),
      error ? h("pre.error", { tabindex: 0 }, plainText(error)) : "",
    );
    setAttribute(this.#details, "data-tone", statusTone(status));
    this.#details.hidden = false;
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const cells = [...this.#grid.querySelectorAll("button")];
    const from = cells.findIndex((cell) => cell === event.target);
    if (!by || from < 0) return;
    event.preventDefault();
    const next = cells[from + by];
    if (!next) return;
    cells[from].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** @param {string} name "" if sheets have no movement. */
function makeMovementRow(name) {
  const label = h("span.movement-name", {}, name);
  const cells = h("div.cells", { role: "group", "aria-label": name || "Sheets" });
  return { element: h("div.movement", {}, name ? label : null, cells), cells };
}
