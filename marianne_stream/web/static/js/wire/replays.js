/**
 * What one who joins a stream that is open is told first: as much as the server would tell a new
 * viewer, kept by kind of stream. It must not know who joins.
 */

/** Newer events than these are kept of a timeline, and newer lines of a log. */
const KEPT_EVENTS = 500;
const KEPT_LINES = 1000;

/** Keeps the newest `source`, and what else a kind of stream adds. */
class Replay {
  #source = null;

  add(events) {
    for (const event of events) {
      if (event.event === "source") this.#source = event;
      else if (event.event !== "heartbeat") this.take(event);
    }
  }

  events() {
    return this.#source ? [this.#source, ...this.kept()] : this.kept();
  }
}

class RosterReplay extends Replay {
  #jobs = new Map();
  #id = "";
  #known = false;

  take({ event, id, data }) {
    if (event !== "roster") return;
    const { complete, jobs, gone } = JSON.parse(data);
    if (complete) this.#jobs.clear();
    for (const job of jobs) this.#jobs.set(job.job_id, job);
    for (const jobId of gone) this.#jobs.delete(jobId);
    this.#id = id;
    this.#known = true;
  }

  kept() {
    if (!this.#known) return [];
    const data = JSON.stringify({ complete: true, jobs: [...this.#jobs.values()], removed: [] });
    return [{ event: "roster", id: this.#id, data }];
  }
}

class StatusReplay extends Replay {
  #status = null;
  #sheets = null;
  #end = null;

  take(event) {
    if (event.event === "job_status") this.#status = event;
    else if (event.event === "job_sheets") this.#takeSheets(event);
    else this.#end = event;
  }

  kept() {
    return [this.#status, this.#sheets, this.#end].filter(Boolean);
  }

  #takeSheets(event) {
    const news = JSON.parse(event.data);
    const before = this.#sheets && !news.complete ? JSON.parse(this.#sheets.data).sheets : [];
    const sheets = new Map([...before, ...news.sheets].map((sheet) => [sheet.number, sheet]));
    const ordered = [...sheets.values()].sort((a, b) => a.number - b.number);
    const data = JSON.stringify({ ...news, complete: true, sheets: ordered });
    this.#sheets = { ...event, data };
    this.#end = null;
  }
}

class NewestReplay extends Replay {
  #events = [];
  #most;

  constructor(most) {
    super();
    this.#most = most;
  }

  take(event) {
    // What came before has no place any more in what a new viewer would see.
    if (event.data.includes('"cursor_expired"') && event.event.endsWith("gap")) this.#events = [];
    // A line that had no newline is replaced by itself as it is now, or by the whole line.
    if (this.#events.at(-1)?.event === "log_partial") this.#events.pop();
    this.#events.push(event);
    if (this.#events.length > 2 * this.#most) this.#events = this.kept();
  }

  kept() {
    return this.#events.slice(-this.#most);
  }
}

/** @param {"roster" | "status" | "events" | "log"} kind of the stream. */
export function replayOf(kind) {
  if (kind === "roster") return new RosterReplay();
  if (kind === "status") return new StatusReplay();
  return new NewestReplay(kind === "log" ? KEPT_LINES : KEPT_EVENTS);
}
