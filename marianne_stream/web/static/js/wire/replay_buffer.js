/**
 * Replay buffers: the events that a new subscriber of an open stream gets first. They are what the
 * server would send to a new client, kept according to the kind of stream.
 */

import { indexOfPosition, isCut, parseLogPosition } from "./log_position.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {"roster" | "status" | "events" | "log"} StreamKind */

/** Limits of a buffer, in events of a timeline and in lines of a log. */
const MAX_EVENTS = 500;
const MAX_LINES = 1000;

/** Base class: keep the newest `source` event. */
class ReplayBuffer {
  /** @type {ServerSentEvent | null} */
  #source = null;

  /**
   * Add events of the stream.
   *
   * @param {ServerSentEvent[]} events
   */
  add(events) {
    for (const event of events) {
      if (event.event === "source") this.#source = event;
      else if (event.event !== "heartbeat") this.addEvent(event);
    }
  }

  /**
   * Return the events for a new subscriber.
   *
   * @param {string} _cursor position of the subscriber in a log; "" for none.
   * @returns {ServerSentEvent[] | null} null if the buffer does not reach back to the cursor.
   */
  eventsAfter(_cursor) {
    return this.#source ? [this.#source, ...this.snapshot()] : this.snapshot();
  }

  /**
   * Add an event of this kind of stream.
   *
   * @abstract
   * @param {ServerSentEvent} _event
   */
  addEvent(_event) {}

  /**
   * Return the events to replay after `source`.
   *
   * @abstract
   * @returns {ServerSentEvent[]}
   */
  snapshot() {
    return [];
  }
}

/** Keep the current roster as one complete event, and the newest event of each conductor. */
class RosterReplayBuffer extends ReplayBuffer {
  /** @type {Map<string, ServerSentEvent>} */
  #conductors = new Map();
  /** @type {Map<string, object>} */
  #jobs = new Map();
  #id = "";
  #isLoaded = false;

  /** @override @param {ServerSentEvent} received */
  addEvent(received) {
    const { event, id, data } = received;
    if (event === "conductor") {
      this.#conductors.set(JSON.parse(data).source_name ?? "", received);
      return;
    }
    if (event !== "roster") return;
    const { complete, jobs, removed } = JSON.parse(data);
    if (complete) this.#jobs.clear();
    for (const job of jobs) this.#jobs.set(job.job_id, job);
    for (const jobId of removed) this.#jobs.delete(jobId);
    this.#id = id;
    this.#isLoaded = true;
  }

  /** @override */
  snapshot() {
    const conductors = [...this.#conductors.values()];
    if (!this.#isLoaded) return conductors;
    const data = JSON.stringify({ complete: true, jobs: [...this.#jobs.values()], removed: [] });
    return [{ event: "roster", id: this.#id, data }, ...conductors];
  }
}

/** Keep the current status and sheets of a job, and the event that ended the stream. */
class StatusReplayBuffer extends ReplayBuffer {
  /** @type {ServerSentEvent | null} */
  #status = null;
  /** @type {ServerSentEvent | null} */
  #sheets = null;
  /** @type {ServerSentEvent | null} */
  #final = null;

  /** @override @param {ServerSentEvent} event */
  addEvent(event) {
    if (event.event === "job_status") this.#status = event;
    else if (event.event === "job_sheets") this.#mergeSheets(event);
    else this.#final = event;
  }

  /** @override */
  snapshot() {
    return [this.#status, this.#sheets, this.#final].filter((event) => event !== null);
  }

  /** @param {ServerSentEvent} event */
  #mergeSheets(event) {
    const update = JSON.parse(event.data);
    const before = this.#sheets && !update.complete ? JSON.parse(this.#sheets.data).sheets : [];
    /** @type {Map<number, {number: number}>} */
    const sheets = new Map();
    for (const sheet of [...before, ...update.sheets]) sheets.set(sheet.number, sheet);
    const ordered = [...sheets.values()].sort((a, b) => a.number - b.number);
    const data = JSON.stringify({ ...update, complete: true, sheets: ordered });
    this.#sheets = { ...event, data };
    this.#final = null;
  }
}

/** Keep the newest events of a timeline. */
class EventReplayBuffer extends ReplayBuffer {
  /** @type {ServerSentEvent[]} the newest events, and up to as many older ones. */
  events = [];
  #maxEvents;
  /** Id of the last event that is no longer kept; "" if all are kept. */
  droppedId = "";

  /** @param {number} maxEvents */
  constructor(maxEvents) {
    super();
    this.#maxEvents = maxEvents;
  }

  /** @override @param {ServerSentEvent} event */
  addEvent(event) {
    // The log or timeline starts anew: a new client would not see the earlier events.
    if (event.data.includes('"cursor_expired"') && event.event.endsWith("gap")) this.events = [];
    // The next event replaces an incomplete line.
    if (this.events.at(-1)?.event === "log_partial") this.events.pop();
    this.events.push(event);
    if (this.events.length <= 2 * this.#maxEvents) return;
    const dropped = this.events.splice(0, this.#maxEvents);
    this.droppedId = dropped.findLast(({ id }) => id)?.id ?? this.droppedId;
  }

  /** @override */
  snapshot() {
    return this.events.slice(-this.#maxEvents);
  }
}

/** Keep the newest lines of a log behind a cursor. */
class LogReplayBuffer extends EventReplayBuffer {
  #start;

  /** @param {string} start cursor with which the log was requested; "" for its newest lines. */
  constructor(start) {
    super(MAX_LINES);
    this.#start = start;
  }

  /** @override @param {string} cursor */
  eventsAfter(cursor) {
    if (!cursor) return this.#start ? null : this.snapshot();
    const { events } = this;
    // All events behind this cursor are kept.
    const floor = this.droppedId || this.#start;
    if (cursor === floor) return events;
    const index = events.findLastIndex(({ id }) => id === cursor);
    if (index >= 0) return events.slice(index + 1);
    // With a filter, the position of a page is rarely that of an event; and a page may be newer than
    // what the stream has given.
    const position = parseLogPosition(cursor);
    const oldest = parseLogPosition(floor);
    // Behind a cut a line with the same number may be another one: only the server can tell.
    if (!position || events.some(isCut)) return null;
    const before = indexOfPosition(events, position);
    if (before >= 0) return events.slice(before + 1);
    return oldest?.file === position.file && oldest.number <= position.number ? events : null;
  }
}

/**
 * Make an empty replay buffer for a kind of stream.
 *
 * @param {StreamKind} kind
 * @param {string} [start] of a log: the cursor with which it was requested.
 * @returns {ReplayBuffer}
 */
export function makeReplayBuffer(kind, start = "") {
  if (kind === "roster") return new RosterReplayBuffer();
  if (kind === "status") return new StatusReplayBuffer();
  return kind === "log" ? new LogReplayBuffer(start) : new EventReplayBuffer(MAX_EVENTS);
}
