/** State of one job, from the events of its status stream. */

import { isActive } from "./gantt.js";
import { waitingSince } from "./job_times.js";
import { SheetHistory } from "./sheet_history.js";
import { isAtWork, isTerminal, statusTone } from "./status.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

/**
 * @typedef {object} Waiting reason why a job waits.
 * @property {string} code
 * @property {string} detail the same in a sentence.
 * @property {number} [sheet]
 * @property {string} [until] ISO 8601.
 * @property {string | null} [since] ISO 8601: when the wait began.
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
 * @property {number | null} [waited_s]
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
  /** Server time at which the deletion was seen; NaN while the job is not deleted, or if unknown. */
  #deletedAt = NaN;
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
      else if (event === "job_deleted") this.setDeleted(at ?? NaN);
    }
  }

  /** @param {number} at server time. */
  setDeleted(at) {
    if (this.isDeleted) return;
    this.isDeleted = true;
    this.#deletedAt = at;
  }

  /**
   * Return the time up to which the state of the job is known.
   *
   * @param {import("./server_clock.js").ServerClock} clock
   */
  knownUntil(clock) {
    return this.isDeleted ? this.#deletedAt : clock.knownUntil();
  }

  /** Time since which a paused job has stood still; NaN if it moves, or if that is unknown. */
  get pausedSince() {
    const { status, isDeleted } = this;
    if (!status || isDeleted || statusTone(status.status) !== "paused") return NaN;
    return this.sheets.some((sheet) => isAtWork(sheet.status)) ? NaN : waitingSince(status);
  }

  /** True if time passes for the job: it is neither over nor stands still. */
  get goesOn() {
    return !this.isOver && Number.isNaN(this.pausedSince);
  }

  /**
   * Return the time up to which sheets that have not ended count: now, or when the job stopped.
   *
   * @param {import("./server_clock.js").ServerClock} clock
   */
  sheetsUntil(clock) {
    const end = Date.parse(this.status?.completed_at ?? "");
    if (isTerminal(this.status?.status) && !Number.isNaN(end)) return end;
    const { pausedSince } = this;
    const until = this.knownUntil(clock);
    return Number.isNaN(pausedSince) ? until : Math.min(pausedSince, until);
  }

  /**
   * Return true if the job was deleted while a sheet was at work, or waited.
   *
   * @param {Sheet} sheet
   */
  isPast({ status, started_at: startedAt }) {
    return this.isDeleted && (isAtWork(status) || (Boolean(startedAt) && isActive(status)));
  }

  /** True if the job is over, or no longer exists. */
  get isOver() {
    return this.isDeleted || isTerminal(this.status?.status);
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
