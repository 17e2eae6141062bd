/** One job, from the events of its status stream. It must not know how it is shown. */

/** A job as it is told. */
export class Job {
  #sheets = new Map();
  #run = "";
  /** The data of the newest `job_status`; null before the first. */
  status = null;
  /** Its last status, where it is over; null while it is not. */
  finished = null;
  deleted = false;
  /** What went wrong with the stream, as a sentence; "" where nothing did. */
  fault = "";
  /** How many sheets were completed when, as it was seen: `{at, completed, total}`, by the server's clock. */
  progress = [];

  /** Takes events in. */
  take(events) {
    for (const { event, data, at } of events) {
      const value = data ? JSON.parse(data) : {};
      if (event === "job_status") this.#takeStatus(value, at);
      else if (event === "job_sheets") this.#takeSheets(value);
      else if (event === "job_finished") this.finished = value.final_status;
      else if (event === "job_deleted") this.deleted = true;
      else if (event === "stream_error") this.fault = value.error;
    }
  }

  /** Its sheets by their numbers. */
  get sheets() {
    return [...this.#sheets.values()].sort((a, b) => a.number - b.number);
  }

  sheet(number) {
    return this.#sheets.get(number);
  }

  /** Its sheets by movement: `[{movement, sheets}]`; one without a name where none has one. */
  get movements() {
    const found = new Map();
    for (const sheet of this.sheets) {
      const key = sheet.movement ?? null;
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(sheet);
    }
    return [...found].map(([movement, sheets]) => ({ movement, sheets }));
  }

  #takeStatus(status, now) {
    this.status = status;
    this.finished = null;
    this.deleted = false;
    this.fault = "";
    const { completed_sheets: completed, total_sheets: total } = status;
    const last = this.progress.at(-1);
    // Fewer than before: it runs again.
    if (last && completed < last.completed) this.progress = [];
    if (completed !== this.progress.at(-1)?.completed || total !== this.progress.at(-1)?.total) {
      this.progress.push({ at: now, completed, total });
    }
  }

  #takeSheets({ complete, sheets }) {
    if (complete) this.#sheets.clear();
    for (const sheet of sheets) this.#sheets.set(sheet.number, sheet);
  }
}
