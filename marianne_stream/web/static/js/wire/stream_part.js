/** Part of a combined stream, shared by all subscribers of a browser. */

import { makeReplayBuffer } from "./replay_buffer.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./replay_buffer.js").StreamKind} StreamKind */

/**
 * @typedef {object} Subscriber
 * @property {(events: ServerSentEvent[]) => void} onEvents
 * @property {(state: StreamState) => void} onState
 */

/** Events after which the server ends a part for good. */
const FINAL_EVENTS = new Set(["job_finished", "job_deleted", "log_complete"]);

export class StreamPart {
  #replay;
  /** @type {Set<Subscriber>} */
  #subscribers = new Set();
  /** @type {StreamState} */
  state = { phase: "connecting", since: Date.now() };
  /** Number of temporary errors since the last event. */
  errors = 0;
  /** True while the part waits after an error, and is not requested. */
  isDelayed = false;

  /**
   * @param {string} name as the server knows it.
   * @param {string} base name that subscribers ask for: several parts of a log may have the same.
   * @param {string} cursor of the last event; at first, the position to begin at, or "".
   */
  constructor(name, base, cursor) {
    this.name = name;
    this.base = base;
    this.cursor = cursor;
    const [kind] = /** @type {string[]} */ (name.match(/^\w+/));
    this.#replay = makeReplayBuffer(/** @type {StreamKind} */ (kind), cursor);
  }

  get hasEnded() {
    return this.state.phase === "ended" || this.state.phase === "failed";
  }

  get isUnused() {
    return this.#subscribers.size === 0;
  }

  /**
   * Return true if a subscriber misses and repeats nothing here.
   *
   * @param {string} base
   * @param {string} cursor position of the subscriber in a log; "" for none.
   */
  serves(base, cursor) {
    // A part that has ended is opened anew: the job may have been resumed, or created.
    return base === this.base && !this.hasEnded && this.#replay.eventsAfter(cursor) !== null;
  }

  /**
   * Add a subscriber, which gets the state and what it misses at once.
   *
   * @param {Subscriber} subscriber
   * @param {string} cursor
   */
  add(subscriber, cursor) {
    this.#subscribers.add(subscriber);
    subscriber.onState(this.state);
    const events = this.#replay.eventsAfter(cursor);
    if (events?.length) subscriber.onEvents(events);
  }

  /** @param {Subscriber} subscriber */
  remove(subscriber) {
    this.#subscribers.delete(subscriber);
  }

  /**
   * Pass on events, up to the one that ends the part.
   *
   * @param {ServerSentEvent[]} events
   */
  receive(events) {
    this.errors = 0;
    for (const { id } of events) {
      if (id) this.cursor = id;
    }
    // It gives the cursor of a log without lines, and nothing else.
    const shown = events.filter(({ event }) => event !== "part_start");
    if (!shown.length) return;
    this.#replay.add(shown);
    for (const subscriber of this.#subscribers) subscriber.onEvents(shown);
    if (shown.some(({ event }) => FINAL_EVENTS.has(event))) {
      this.setState({ ...this.state, phase: "ended", since: Date.now() });
    }
  }

  /** @param {StreamState} state */
  setState(state) {
    const isUnchanged = state.phase === "live" && this.state.phase === "live";
    this.state = state;
    if (isUnchanged) return;
    for (const subscriber of this.#subscribers) subscriber.onState(state);
  }
}
