/** Heights of the rows of the job list: they are fixed, so that rows need not be drawn to be placed. */

import { hasNote } from "../model/job_note.js";

/** Width up to which every job takes two lines; as in job_row.css. */
const NARROW = "(max-width: 72rem)";

const ONE_LINE_REM = 2.75;
const TWO_LINES_REM = 4.1;

export class JobRowLayout {
  #isNarrow = matchMedia(NARROW);
  #remPx = 16;

  /** @param {() => void} onChange is called when the heights have changed. */
  constructor(onChange) {
    this.#isNarrow.addEventListener("change", onChange);
    this.close = () => this.#isNarrow.removeEventListener("change", onChange);
    this.measure();
  }

  /** Read the size of the font: all heights depend on it. */
  measure() {
    this.#remPx = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  }

  /**
   * Return the height of a job's row in pixels.
   *
   * @param {import("../model/roster.js").RosterEntry} job
   */
  heightOf(job) {
    const hasTwoLines = this.#isNarrow.matches || hasNote(job);
    return Math.round((hasTwoLines ? TWO_LINES_REM : ONE_LINE_REM) * this.#remPx);
  }
}
