/** A job's sheets as a grid, a row of cells for each movement; a cell opens what it is about. */

import { plain } from "../model/ansi.js";
import { lookOf, wordOf } from "../model/status.js";
import { arrange, attribute, h } from "./dom.js";
import { glyph } from "./glyphs.js";

/** With more sheets than this, cells are small and bear no number. */
const MANY = 80;

/** The grid, and what is told of the sheet that is chosen. */
export class SheetGrid {
  #cells = new Map();
  #rows = new Map();
  #grid = h("div.movements");
  #detail = h("div.sheet-detail", { role: "status", hidden: true });
  #chosen = null;
  #told = "";

  constructor() {
    this.element = h(
      "section.panel.sheets",
      { "aria-labelledby": "sheets-heading" },
      h("h2", { id: "sheets-heading" }, "Sheets"),
      this.#grid,
      this.#detail,
    );
    this.#grid.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Shows the sheets of a job. */
  show(job) {
    const { movements, sheets } = job;
    attribute(this.#grid, "data-many", sheets.length > MANY);
    const rows = movements.map(({ movement, sheets: own }) => this.#row(movement, own));
    arrange(this.#grid, rows.length ? rows : [h("p.faint", {}, "No sheets yet.")]);
    this.#reachable(sheets);
    const chosen = job.sheet(this.#chosen);
    if (chosen) this.#tell(chosen);
    else this.#detail.hidden = true;
  }

  #row(movement, sheets) {
    const name = movement === null ? "" : `Movement ${movement}`;
    if (!this.#rows.has(name)) {
      const label = h("span.movement-name", {}, name);
      const cells = h("div.cells", { role: "group", "aria-label": name || "Sheets" });
      this.#rows.set(name, { element: h("div.movement", {}, name ? label : null, cells), cells });
    }
    const row = this.#rows.get(name);
    arrange(
      row.cells,
      sheets.map((sheet) => this.#cell(sheet)),
    );
    return row.element;
  }

  #cell(sheet) {
    const { number, status, instrument_name: instrument, error_message: error } = sheet;
    let cell = this.#cells.get(number);
    if (!cell) {
      cell = h("button.sheet", {
        type: "button",
        tabindex: -1,
        onclick: () => this.#choose(number),
      });
      this.#cells.set(number, cell);
    }
    cell.sheet = sheet;
    const look = lookOf(status);
    if (cell.dataset.look !== look) {
      attribute(cell, "data-look", look);
      cell.replaceChildren(glyph(look), h("span.number", {}, String(number)));
    }
    const words = [`Sheet ${number}`, wordOf(status), instrument, error ? "has an error" : ""];
    attribute(cell, "aria-label", words.filter(Boolean).join(", "));
    attribute(cell, "title", words.filter(Boolean).join(", "));
    attribute(cell, "aria-expanded", String(this.#chosen === number));
    return cell;
  }

  #choose(number) {
    this.#chosen = this.#chosen === number ? null : number;
    for (const [other, cell] of this.#cells) {
      attribute(cell, "aria-expanded", String(this.#chosen === other));
    }
    this.#reachable([...this.#cells.values()].map(({ sheet }) => sheet));
    if (this.#chosen === null) this.#detail.hidden = true;
    else this.#tell(this.#cells.get(number).sheet);
  }

  #tell(sheet) {
    // Built anew it would lose focus and selection, and be read out.
    const told = JSON.stringify(sheet);
    if (told === this.#told && !this.#detail.hidden) return;
    this.#told = told;
    const { number, status, instrument_name: instrument, movement, error_message: error } = sheet;
    const facts = [
      ["Status", wordOf(status)],
      ["Instrument", instrument],
      ["Movement", movement],
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    this.#detail.replaceChildren(
      h("h3", {}, `Sheet ${number}`),
      h(
        "dl",
        {},
        facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, plain(String(value)))]),
      ),
      error ? h("pre.error", { tabindex: 0 }, plain(error)) : "",
    );
    attribute(this.#detail, "data-look", lookOf(status));
    this.#detail.hidden = false;
  }

  /** One cell is reached by Tab, the others by arrows (WAI-ARIA, roving tabindex). */
  #reachable(sheets) {
    const number = this.#cells.has(this.#chosen) ? this.#chosen : sheets[0]?.number;
    for (const [other, cell] of this.#cells) cell.tabIndex = other === number ? 0 : -1;
  }

  #move(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.sheet) return;
    event.preventDefault();
    const cells = [...this.#grid.querySelectorAll("button.sheet")];
    const to = cells[cells.indexOf(event.target) + by];
    if (!to) return;
    event.target.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
