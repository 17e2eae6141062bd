/** Part of the sheet panel: the files that changed while the sheet ran. */

import { plainText } from "../model/ansi.js";
import { fileFragment, filterFiles } from "../model/job_files.js";
import { isTransient } from "../model/request_errors.js";
import { ApiError, getJson, jobPath, withQuery } from "../wire/api.js";
import { h } from "./dom.js";

const MAX_LISTED = 1_000;

/** Files that are shown; the others are in the tab. */
const MAX_SHOWN = 20;

/** Time after which the files of a sheet at work, or a request that failed, are requested again. */
const RELOAD_MS = 10_000;

export class SheetFiles {
  #jobId;
  #number = NaN;
  #shown = "";
  /** True if what is shown is of another state of the sheet. */
  #isStale = false;
  /** True if the server gives no list at all. */
  #isRefused = false;
  #requestedAt = -Infinity;
  /** True if the last request may succeed later. */
  #hasFailed = false;
  /** @type {AbortController | null} */
  #request = null;
  #list = h("ul.sheet-file-list", { role: "list" });

  /** @param {string} jobId */
  constructor(jobId) {
    this.#jobId = jobId;
    this.element = h(
      "section.sheet-files",
      { hidden: true, "aria-label": "Files of the sheet" },
      h("h3", {}, "Files that changed while it ran"),
      this.#list,
    );
  }

  /**
   * Show the files of a sheet.
   *
   * @param {import("../model/job.js").Sheet} sheet
   * @param {boolean} isActive
   */
  show({ number, status, started_at: startedAt, completed_at: completedAt }, isActive) {
    const state = JSON.stringify([number, status, startedAt, completedAt]);
    if (state !== this.#shown) {
      this.#request?.abort();
      this.#shown = state;
      this.#isStale = true;
    }
    if (number !== this.#number) this.#draw([]);
    this.#number = number;
    const isVisible = document.visibilityState === "visible";
    const isOld = Date.now() - this.#requestedAt >= RELOAD_MS;
    const isDue = this.#isStale || (isOld && (isActive || this.#hasFailed));
    if (startedAt && isVisible && isDue && !this.#isRefused) this.#load(number);
  }

  /** End the request in progress, and forget the files. */
  close() {
    this.#request?.abort();
    this.#shown = "";
    this.#number = NaN;
  }

  /** @param {number} number */
  async #load(number) {
    this.#request?.abort();
    const { signal } = (this.#request = new AbortController());
    this.#requestedAt = Date.now();
    this.#hasFailed = this.#isStale = false;
    const path = withQuery(jobPath(this.#jobId, "files"), { limit: MAX_LISTED });
    try {
      const { entries } = await getJson(path, { signal, redirect: "manual" });
      this.#draw(filterFiles(entries, "").filter(({ sheets }) => sheets.includes(number)));
    } catch (error) {
      if (signal.aborted) return;
      // The tab says why there are no files.
      if (!(error instanceof ApiError)) throw error;
      if (isTransient(error)) this.#hasFailed = true;
      else {
        this.#isRefused = true;
        this.#draw([]);
      }
    }
  }

  /** @param {import("../model/job_files.js").FileEntry[]} files */
  #draw(files) {
    this.element.hidden = !files.length;
    const rest = files.length - MAX_SHOWN;
    this.#list.replaceChildren(
      ...files
        .slice(0, MAX_SHOWN)
        .map(({ path, url_path: urlPath }) =>
          h("li", {}, h("a", { href: fileFragment(urlPath) }, plainText(path))),
        ),
      rest > 0 ? h("li", {}, h("a", { href: fileFragment("") }, `${rest} more`)) : "",
    );
  }
}
