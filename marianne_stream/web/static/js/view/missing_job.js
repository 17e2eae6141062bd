/** Content of the job page if there is no job to show: it is unknown, or the reader may not see it. */

import { plainText } from "../model/ansi.js";
import { LIST_URL } from "../model/page_urls.js";
import { h, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

const UNKNOWN =
  "The conductor knows no job of this name, or your token does not give access to it. The name may " +
  "be misspelt, or the conductor may have forgotten the job.";

const NEXT =
  "This page shows the job as soon as it is submitted, if your token gives access to it.";

export class MissingJob {
  #reason = h("p");
  #next = h("p.muted");

  /** @param {string} jobId */
  constructor(jobId) {
    this.element = h(
      "div.missing-job",
      {},
      makeIcon("search"),
      h("h1", { id: "job-heading" }, "No job ", h("q", {}, plainText(jobId))),
      this.#reason,
      this.#next,
      h("a.quiet", { href: LIST_URL, "data-page": true }, makeIcon("back"), "All jobs"),
    );
  }

  /**
   * Return true if an error of the status stream means that there is no job to show.
   *
   * @param {import("../wire/event_stream.js").StreamState} state
   */
  static isReason({ phase, status, code }) {
    return phase === "failed" && (code === "job_not_found" || status === 400);
  }

  /**
   * Say why there is no job to show.
   *
   * @param {import("../wire/event_stream.js").StreamState} state error of the status stream.
   */
  show({ code, detail = "" }) {
    const isUnknown = code === "job_not_found";
    setText(this.#reason, isUnknown ? UNKNOWN : plainText(detail));
    setText(this.#next, isUnknown ? NEXT : "");
  }
}
