/** Part of a combined stream, shared by all subscribers of a browser. */

import { STATE_EVENTS } from "./event_overlap.js";
import { isUnconnected } from "./event_stream.js";
import { eventsBehind, parseLogPosition } from "./log_position.js";
import { makeReplayBuffer } from "./replay_buffer.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./log_position.js").LogPosition} LogPosition */
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
  /**
   * @type {Map<Subscriber, LogPosition | null>} with the position in the log up to which a subscriber
   *   has the lines already; null once the part has passed it.
   */
  #subscribers = new Map();
  /** @type {StreamState} */
  state = { phase: "connecting", since: Date.now() };

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
    /** True if repeated events do harm. States replace each other. */
    this.isSequence = kind === "log" || kind === "events";
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
    this.#subscribers.set(subscriber, parseLogPosition(cursor));
    subscriber.onState(this.state);
    const events = this.#replay.eventsAfter(cursor);
    if (events?.length) this.#pass(subscriber, events);
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
    for (const { id } of events) {
      if (id) this.cursor = id;
    }
    // It tells that the part has begun, and gives the cursor of a log without lines.
    const shown = events.filter(({ event }) => event !== "part_start");
    if (!shown.length) return;
    this.#replay.add(shown);
    for (const subscriber of this.#subscribers.keys()) this.#pass(subscriber, shown);
    if (shown.some(({ event }) => FINAL_EVENTS.has(event))) {
      this.setState({ ...this.state, phase: "ended", since: Date.now() });
    }
  }

  /**
   * Set the state. `since` stays while the part is lost, through all attempts to reconnect.
   *
   * @param {StreamState} state
   */
  setState(state) {
    const isLost = isUnconnected(state);
    const isSame = isLost ? isUnconnected(this.state) : state.phase === this.state.phase;
    const isNews = !isSame || isLost;
    this.state = isSame ? { ...state, since: this.state.since } : state;
    if (!isNews) return;
    for (const subscriber of this.#subscribers.keys()) subscriber.onState(this.state);
  }

  /**
   * Pass on events to a subscriber, but for the lines that it has.
   *
   * @param {Subscriber} subscriber
   * @param {ServerSentEvent[]} events
   */
  #pass(subscriber, events) {
    const position = this.#subscribers.get(subscriber);
    const missed = position ? eventsBehind(events, position) : events;
    if (missed.some(({ event }) => !STATE_EVENTS.has(event))) {
      this.#subscribers.set(subscriber, null);
    }
    if (missed.length) subscriber.onEvents(missed);
  }
}
