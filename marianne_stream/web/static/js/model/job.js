/** State of one job, from the events of its status stream. */

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */

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
 */

/**
 * @typedef {object} Sheet
 * @property {number} number
 * @property {string} status
 * @property {string | number | null} [movement]
 * @property {string | null} [instrument_name]
 * @property {string | null} [error_message]
 */

/**
 * @typedef {object} ProgressPoint number of completed sheets at a time.
 * @property {number} at server time, epoch milliseconds.
 * @property {number} completed
 * @property {number} total
 */

export class Job {
  /** @type {Map<number, Sheet>} */
  #sheets = new Map();
  /** @type {JobStatus | null} the newest status; null before the first. */
  status = null;
  /** @type {string | null} the final status; null while the job is not over. */
  finalStatus = null;
  isDeleted = false;
  /** Error that the stream reported, as a sentence; "" if there is none. */
  streamError = "";
  /** @type {ProgressPoint[]} */
  progress = [];

  /**
   * Apply events of the stream.
   *
   * @param {ServerSentEvent[]} events
   */
  applyEvents(events) {
    for (const { event, data, at } of events) {
      const value = data ? JSON.parse(data) : {};
      if (event === "job_status") this.#setStatus(value, at ?? NaN);
      else if (event === "job_sheets") this.#setSheets(value);
      else if (event === "job_finished") this.finalStatus = value.final_status;
      else if (event === "job_deleted") this.isDeleted = true;
      else if (event === "stream_error") this.streamError = value.error;
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

  /**
   * @param {JobStatus} status
   * @param {number} now
   */
  #setStatus(status, now) {
    this.status = status;
    this.finalStatus = null;
    this.isDeleted = false;
    this.streamError = "";
    const completed = status.completed_sheets ?? 0;
    const total = status.total_sheets ?? 0;
    // Fewer sheets than before: the job was started again.
    if (completed < (this.progress.at(-1)?.completed ?? 0)) this.progress = [];
    const last = this.progress.at(-1);
    if (completed !== last?.completed || total !== last?.total) {
      this.progress.push({ at: now, completed, total });
    }
  }

  /** @param {{complete: boolean, sheets: Sheet[]}} value */
  #setSheets({ complete, sheets }) {
    if (complete) this.#sheets.clear();
    for (const sheet of sheets) this.#sheets.set(sheet.number, sheet);
  }
}
