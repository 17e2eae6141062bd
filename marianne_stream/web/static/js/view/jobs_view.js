/** All jobs: `/`. */

import { addressOf, NO_ADDRESS } from "../model/job_address.js";
import { lookOf, wordOf } from "../model/status.js";
import { arrange, attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { JobRow } from "./job_row.js";

/** How often the order may change, and times are counted on. */
const ORDER_MS = 2_000;
const SECOND_MS = 1_000;
const SHOW_MS = 100;

const LOOKS = ["failed", "paused", "running", "waiting", "completed", "cancelled", "unknown"];
const LOOK_WORDS = { waiting: "queued", unknown: "other" };
const ORDERS = { attention: "Needs attention", newest: "Newest first", name: "Name" };

/** The list of jobs. */
export class JobsView {
  #page;
  #rows = new Map();
  #chips = new Map();
  #list = h("ul.jobs", { role: "list" });
  #empty = h("div.empty", { hidden: true });
  #search;
  #order;
  #ordered = [];
  #orderedAt = 0;
  #chosen = null;
  #timer;
  #scheduled = null;

  constructor(page) {
    this.#page = page;
    this.#build();
    this.keys = [
      { key: "j", says: "the next job", act: () => this.#choose(1) },
      { key: "k", says: "the job before", act: () => this.#choose(-1) },
      { key: "Enter", says: "open the job", act: () => this.#open() },
      { key: "/", says: "find by name", act: () => this.#search.focus() },
      { key: "g", says: "the first job", act: () => this.#choose(-Infinity) },
      { key: "G", says: "the last job", act: () => this.#choose(Infinity) },
      { key: "Escape", says: "clear what is looked for", act: () => this.#clear() },
    ];
  }

  /** It is shown now. */
  opened() {
    this.#page.tab.title("Jobs");
    this.#timer = setInterval(() => this.#tick(), SECOND_MS);
    this.#show({ anew: true });
  }

  close() {
    clearInterval(this.#timer);
    clearTimeout(this.#scheduled);
  }

  /** The roster has changed. */
  rosterChanged() {
    if (this.#scheduled) return;
    // Many changes at once are shown once.
    this.#scheduled = setTimeout(() => {
      this.#scheduled = null;
      this.#show({});
    }, SHOW_MS);
  }

  /** All times are in another zone. */
  timesChanged() {
    for (const row of this.#rows.values()) row.showMoments();
    this.#tick();
  }

  #build() {
    const wanted = new URLSearchParams(location.search);
    this.#search = h("input", {
      type: "search",
      placeholder: "Find a job",
      "aria-label": "Find a job by its name",
      value: wanted.get("name") ?? "",
      oninput: () => this.#changed(),
      onkeydown: ({ key }) => {
        if (key === "Enter" && this.#ordered.length) this.#openJob(this.#ordered[0]);
      },
    });
    this.#order = h(
      "select",
      { "aria-label": "Order", onchange: () => this.#changed() },
      Object.entries(ORDERS).map(([value, text]) => h("option", { value }, text)),
    );
    this.#order.value = ORDERS[wanted.get("order")] ? wanted.get("order") : "attention";
    this.look = LOOKS.includes(wanted.get("status")) ? wanted.get("status") : "";
    const chips = ["", ...LOOKS].map((look) => this.#chip(look));
    this.element = h(
      "section.jobs-view",
      { "aria-labelledby": "jobs-heading" },
      h(
        "div.bar",
        {},
        h("h1", { id: "jobs-heading" }, "Jobs"),
        h("div.chips", { role: "group", "aria-label": "Status" }, chips),
        h("label.find", {}, glyph("search"), this.#search),
        this.#order,
      ),
      h(
        "div.columns",
        { "aria-hidden": "true" },
        COLUMNS.map((name) => h("span", {}, name)),
      ),
      this.#list,
      this.#empty,
    );
  }

  #chip(look) {
    const count = h("span.count");
    const chip = h(
      "button.chip",
      { type: "button", onclick: () => this.#filter(look), "data-look": look || null },
      look ? glyph(look) : null,
      look ? (LOOK_WORDS[look] ?? wordOf(look)) : "all",
      count,
    );
    this.#chips.set(look, { chip, count });
    return chip;
  }

  #filter(look) {
    this.look = this.look === look ? "" : look;
    this.#changed();
  }

  #clear() {
    this.#search.value = "";
    this.look = "";
    this.#search.blur();
    this.#changed();
  }

  #changed() {
    const wanted = new URLSearchParams();
    if (this.look) wanted.set("status", this.look);
    if (this.#search.value) wanted.set("name", this.#search.value);
    if (this.#order.value !== "attention") wanted.set("order", this.#order.value);
    const query = wanted.toString();
    history.replaceState(null, "", query ? `/?${query}` : "/");
    this.#show({ anew: true });
  }

  #show({ anew = false }) {
    const { roster, clock, missing } = this.#page;
    if (!roster.known) {
      if (missing.length) this.#showEmpty("No jobs to show yet.", ...missing, GOES_ON);
      else this.#showEmpty("Looking for jobs …");
      return;
    }
    this.#showChips(roster.counts(), roster.size);
    const name = this.#search.value;
    const jobs = roster.list({ look: this.look, name, order: this.#order.value }, clock.now());
    this.#arrange(jobs, anew);
    if (jobs.length) this.#empty.hidden = true;
    else if (roster.size)
      this.#showEmpty("No job is like that.", "Escape clears what is looked for.");
    else if (missing.length) this.#showEmpty("No jobs yet.", ...missing, GOES_ON);
    else
      this.#showEmpty(
        "No jobs yet.",
        "Submit a score to the conductor: its job appears here by itself.",
      );
  }

  #showChips(counts, all) {
    for (const [look, { chip, count }] of this.#chips) {
      const number = look ? (counts[look] ?? 0) : all;
      chip.hidden = look !== "" && number === 0 && this.look !== look;
      setText(count, String(number));
      attribute(chip, "aria-pressed", String(this.look === look));
    }
  }

  /** Rows change at once; their order only when nobody is about to click on one. */
  #arrange(jobs, anew) {
    const ids = jobs.map(({ job_id: jobId }) => jobId);
    const wanted = new Set(ids);
    for (const jobId of this.#rows.keys()) {
      if (!this.#page.roster.get(jobId)) this.#rows.delete(jobId);
    }
    for (const job of jobs) this.#rowOf(job.job_id).show(job);
    const busy = this.#list.matches(":hover") || this.#list.contains(document.activeElement);
    const settled = Date.now() - this.#orderedAt > ORDER_MS && !busy;
    const known = new Set(this.#ordered);
    const same = known.size === wanted.size && ids.every((jobId) => known.has(jobId));
    if (anew || settled || !same) {
      this.#ordered = anew || settled ? ids : keptOrder(this.#ordered, ids);
      this.#orderedAt = Date.now();
      arrange(
        this.#list,
        this.#ordered.map((jobId) => this.#rowOf(jobId).element),
      );
    }
  }

  #rowOf(jobId) {
    if (!this.#rows.has(jobId)) this.#rows.set(jobId, new JobRow(jobId, this.#page));
    return this.#rows.get(jobId);
  }

  #tick() {
    for (const jobId of this.#ordered) this.#rowOf(jobId).tick();
    if (Date.now() - this.#orderedAt > ORDER_MS) this.#show({});
  }

  #choose(by) {
    const count = this.#ordered.length;
    if (!count) return;
    const from = this.#ordered.indexOf(this.#chosen);
    const to = from < 0 ? (by < 0 && by !== -Infinity ? count - 1 : 0) : from + by;
    this.#chosen = this.#ordered[Math.max(0, Math.min(count - 1, to))];
    const link = this.#rowOf(this.#chosen).link;
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  }

  #open() {
    if (this.#ordered.includes(this.#chosen)) this.#openJob(this.#chosen);
  }

  #openJob(jobId) {
    const address = addressOf(jobId);
    if (address) this.#page.go(address);
    else this.#page.announcer.say(NO_ADDRESS);
  }

  #showEmpty(title, ...sentences) {
    this.#empty.hidden = false;
    const shown = this.#empty.textContent;
    if (shown === title + sentences.join("")) return;
    const texts = sentences.map((text) => h("p", {}, text));
    this.#empty.replaceChildren(h("p.title", {}, title), ...texts);
  }
}

const GOES_ON = "This page goes on by itself once the conductor answers.";

const COLUMNS = ["Status", "Job", "Sheets", "Now", "Started", "Duration", "Changed"];

/** An order as it is, with those that have come in front, and without those that have gone. */
function keptOrder(before, ids) {
  const [wanted, known] = [new Set(ids), new Set(before)];
  return [...ids.filter((id) => !known.has(id)), ...before.filter((id) => wanted.has(id))];
}
