/** State of one job, from the events of its status stream. */

import { SheetHistory } from "./sheet_history.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} Waiting reason why a job waits.
 * @property {string} code
 * @property {string} detail the same in a sentence.
 * @property {number} [sheet]
 * @property {string} [until] ISO 8601.
 */

/**
 * @typedef {object} JobStatus data of a `job_status` event.
 * @property {string} status
 * @property {number | null} [completed_sheets]
 * @property {number | null} [total_sheets]
 * @property {number | null} [current_sheet]
 * @property {string | null} [started_at]
 * @property {string | null} [completed_at]
 * @property {string | null} [last_progress_at]
 * @property {string | null} [error_message]
 * @property {string} [run] name of the run.
 * @property {string} [eta_at]
 * @property {number[]} [stalled] numbers of sheets.
 * @property {Waiting} [waiting]
 * @property {string} [resume_command]
 * @property {number} [estimated_cost] US dollars.
 * @property {number} [input_tokens]
 * @property {number} [output_tokens]
 */

/**
 * @typedef {object} Sheet
 * @property {number} number
 * @property {string} status
 * @property {string | number | null} [movement]
 * @property {string | null} [instrument_name]
 * @property {string | null} [error_message]
 * @property {boolean} [error_truncated]
 * @property {string | null} [error_code]
 * @property {number | null} [attempt]
 * @property {string | null} [started_at]
 * @property {string | null} [completed_at]
 * @property {string | null} [waiting_until]
 */

export class Job {
  /** @type {Map<number, Sheet>} */
  #sheets = new Map();
  /** @type {JobStatus | null} the newest status; null before the first. */
  status = null;
  /** @type {string | null} the final status; null while the job is not over. */
  finalStatus = null;
  isDeleted = false;
  history = new SheetHistory();
  /** Number of times that all sheets were sent: their history may have to be read again. */
  completeCount = 0;

  /**
   * Apply events of the stream.
   *
   * @param {ServerSentEvent[]} events
   */
  applyEvents(events) {
    for (const { event, data, at } of events) {
      const value = data ? JSON.parse(data) : {};
      if (event === "job_status") this.#setStatus(value);
      else if (event === "job_sheets") this.#setSheets(value, at ?? NaN);
      else if (event === "job_finished") this.finalStatus = value.final_status;
      else if (event === "job_deleted") this.isDeleted = true;
    }
  }

  /** Sheets in the order of their numbers. */
  get sheets() {
    return [...this.#sheets.values()].sort((a, b) => a.number - b.number);
  }

  /**
   * Return a sheet by its number.
   *
   * @param {number | null} number
   */
  getSheet(number) {
    return number === null ? undefined : this.#sheets.get(number);
  }

  /** Sheets grouped by movement; `movement` is null if sheets have none. */
  get movements() {
    /** @type {Map<string | number | null, Sheet[]>} */
    const groups = new Map();
    for (const sheet of this.sheets) {
      const movement = sheet.movement ?? null;
      const group = groups.get(movement);
      if (group) group.push(sheet);
      else groups.set(movement, [sheet]);
    }
    return [...groups].map(([movement, sheets]) => ({ movement, sheets }));
  }

  /** @param {JobStatus} status */
  #setStatus(status) {
    if (status.run !== this.status?.run) this.history.clear();
    this.status = status;
    this.finalStatus = null;
    this.isDeleted = false;
  }

  /**
   * @param {{complete: boolean, sheets: Sheet[]}} value
   * @param {number} at
   */
  #setSheets({ complete, sheets }, at) {
    if (complete) {
      this.#sheets.clear();
      this.completeCount += 1;
    }
    for (const sheet of sheets) {
      this.#sheets.set(sheet.number, sheet);
      // Of a complete state, the times of the changes are unknown.
      if (!complete) this.history.note(sheet, at);
    }
  }
}
