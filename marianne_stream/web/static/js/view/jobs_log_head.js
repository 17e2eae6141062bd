/** Head of a view of several jobs' logs: its jobs, a choice of others, and a filter. */

import { plainText } from "../model/ansi.js";
import { MAX_TEXT_CHARS } from "../model/log_query.js";
import { jobUrl, MAX_LOG_JOBS } from "../model/page_urls.js";
import { h, setAttribute, setChildren } from "./dom.js";
import { makeIcon } from "./icons.js";
import { makeJobName, MAX_NAME_CHARS } from "./log_row.js";

/** @typedef {import("../model/log_rows.js").LogJob} LogJob */

/**
 * @typedef {object} JobsLogHeadOptions
 * @property {LogJob[]} jobs
 * @property {number} leftOut number of jobs of the address that are not shown.
 * @property {string} text of the filter.
 * @property {HTMLElement} levelSelect
 * @property {(jobIds: string[]) => void} onJobsChange
 * @property {(text: string) => void} onFilter
 */

export class JobsLogHead {
  #options;
  #text;
  #choice = h("select", { "aria-label": "Job to add" });
  #addForm;
  filter;

  /** @param {JobsLogHeadOptions} options */
  constructor(options) {
    this.#options = options;
    this.#text = options.text;
    const { jobs, leftOut, levelSelect } = options;
    this.#addForm = h(
      "form.add-job",
      { onsubmit: (/** @type {Event} */ event) => this.#add(event) },
      this.#choice,
      h("button.quiet", {}, "Add"),
    );
    this.filter = h("input", {
      type: "search",
      value: options.text,
      maxlength: MAX_TEXT_CHARS,
      placeholder: "Filter lines",
      "aria-label": "Only lines with this text",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onFilterKey(event),
      oninput: () => this.filter.value || this.#apply(),
    });
    this.element = h(
      "div.bar",
      {},
      h("h1", { id: "logs-heading" }, "Logs"),
      jobs.map((job) => this.#makeJob(job)),
      leftOut > 0 && h("span.muted", {}, `${leftOut} more not shown: at most ${MAX_LOG_JOBS} fit`),
      this.#addForm,
      h("label.search-field", {}, makeIcon("search"), this.filter),
      levelSelect,
    );
  }

  /**
   * Offer jobs to add.
   *
   * @param {string[]} jobIds
   */
  offer(jobIds) {
    const { jobs } = this.#options;
    const shown = new Set(jobs.map(({ id }) => id));
    const others = jobIds.filter((id) => !shown.has(id) && jobUrl(id));
    others.sort((a, b) => a.localeCompare(b));
    this.#addForm.hidden = !others.length || jobs.length >= MAX_LOG_JOBS;
    const known = [...this.#choice.options].map(({ value }) => value);
    if (others.join("\n") === known.join("\n")) return;
    const { value } = this.#choice;
    setChildren(
      this.#choice,
      others.map((id) => h("option", { value: id }, plainText(id))),
    );
    if (others.includes(value)) this.#choice.value = value;
  }

  /** @param {LogJob} job */
  #makeJob(job) {
    const { jobs, onJobsChange } = this.#options;
    const remove = `Remove ${plainText(job.id)}`;
    const onclick = () => onJobsChange(jobs.map(({ id }) => id).filter((id) => id !== job.id));
    return h(
      "span.log-job",
      {},
      h("a", { href: jobUrl(job.id), "data-page": true }, makeJobName(job)),
      h(
        "button.quiet.icon-only",
        { type: "button", title: remove, "aria-label": remove, onclick },
        makeIcon("close"),
      ),
    );
  }

  /** @param {Event} event */
  #add(event) {
    event.preventDefault();
    const { jobs, onJobsChange } = this.#options;
    if (this.#choice.value) onJobsChange([...jobs.map(({ id }) => id), this.#choice.value]);
  }

  /** @param {KeyboardEvent} event */
  #onFilterKey(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    if (event.key === "Escape") {
      this.filter.value = "";
      this.filter.blur();
    }
    this.#apply();
    event.preventDefault();
    event.stopPropagation();
  }

  #apply() {
    if (this.filter.value === this.#text) return;
    this.#text = this.filter.value;
    this.#options.onFilter(this.#text);
  }
}

/**
 * Show a column with the names of jobs, as wide as the longest.
 *
 * @param {HTMLElement} element of log rows.
 * @param {LogJob[]} jobs
 */
export function showJobColumn(element, jobs) {
  setAttribute(element, "data-jobs", true);
  const chars = Math.max(...jobs.map(({ id }) => plainText(id).length), 0);
  element.style.setProperty("--job-chars", String(Math.min(chars, MAX_NAME_CHARS)));
}
