/**
 * Hub of all streams of one browser: each stream is opened once for all subscribers, and the number
 * of open streams leaves connections for other requests. Runs in a worker or in a page.
 */

import { EventStream } from "./event_stream.js";
import { makeReplayBuffer } from "./replay_buffer.js";

/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./replay_buffer.js").StreamKind} StreamKind */

/**
 * @typedef {object} StreamRequest
 * @property {string} path
 * @property {StreamKind} kind
 * @property {boolean} [exclusive] the stream starts at a place of its own (a cursor, or no tail), so
 *   it is not shared with other subscribers.
 */

/**
 * @typedef {object} Subscriber
 * @property {() => boolean} isVisible whether its tab is visible.
 * @property {(events: ServerSentEvent[]) => void} onEvents
 * @property {(state: StreamState) => void} onState
 */

/**
 * @typedef {object} SharedStream
 * @property {string | symbol} key
 * @property {StreamKind} kind
 * @property {Set<Subscriber>} subscribers
 * @property {ReturnType<typeof makeReplayBuffer>} replay
 * @property {EventStream} stream
 */

/** Browsers open six HTTP/1.1 connections to a host; two are left for other requests. */
const MAX_HTTP1_STREAMS = 4;

const TICK_MS = 5_000;

/** Delay of a tick from which the machine is taken to have slept. */
const SLEEP_THRESHOLD_MS = 15_000;

/**
 * Priorities of the kinds when not all streams can be open; the lowest goes first.
 *
 * @type {Record<StreamKind, number>}
 */
const PRIORITIES = { status: 0, roster: 1, log: 2, events: 3 };

export class StreamHub {
  /** @type {Map<string | symbol, SharedStream>} */
  #streams = new Map();
  /** @type {Map<Subscriber, SharedStream>} */
  #subscriptions = new Map();
  #maxOpen = MAX_HTTP1_STREAMS;
  #lastTickAt = Date.now();

  /** Check the streams every few seconds, for as long as the worker or page exists. */
  run() {
    setInterval(() => this.tick(), TICK_MS);
  }

  /** Remove the limit on open streams: with HTTP/2 and later they share one connection. */
  allowMultiplexing() {
    this.#maxOpen = Infinity;
    this.schedule();
  }

  /**
   * Subscribe to a stream. The subscriber gets its state and the replayed events at once.
   *
   * @param {StreamRequest} request
   * @param {Subscriber} subscriber
   */
  subscribe({ path, kind, exclusive = false }, subscriber) {
    const key = exclusive ? Symbol(path) : path;
    const open = this.#streams.get(key);
    // A stream that has ended is opened anew: the job may have been resumed, or created.
    const shared = open && !hasEnded(open.stream.state) ? open : this.#open(key, path, kind);
    this.#subscriptions.set(subscriber, shared);
    shared.subscribers.add(subscriber);
    subscriber.onState(shared.stream.state);
    const events = shared.replay.events();
    if (events.length) subscriber.onEvents(events);
    this.schedule();
  }

  /**
   * End a subscription; the stream of the last subscriber is closed.
   *
   * @param {Subscriber} subscriber
   */
  unsubscribe(subscriber) {
    const shared = this.#subscriptions.get(subscriber);
    this.#subscriptions.delete(subscriber);
    shared?.subscribers.delete(subscriber);
    if (shared?.subscribers.size === 0) {
      if (this.#streams.get(shared.key) === shared) this.#streams.delete(shared.key);
      shared.stream.close();
    }
    this.schedule();
  }

  /** Reconnect waiting streams at once: the network is back, or a tab has become visible. */
  wake() {
    for (const { stream } of this.#streams.values()) stream.check({ afterSleep: true });
  }

  /**
   * Check the streams for lost connections. A late tick means that the machine has slept.
   *
   * @param {number} [now] epoch milliseconds.
   */
  tick(now = Date.now()) {
    const afterSleep = now - this.#lastTickAt > TICK_MS + SLEEP_THRESHOLD_MS;
    this.#lastTickAt = now;
    for (const { stream } of this.#streams.values()) stream.check({ afterSleep });
  }

  /** Open the streams with the highest priority, and pause the others. */
  schedule() {
    const active = [...this.#streams.values()].filter(({ stream }) => !hasEnded(stream.state));
    active.sort((a, b) => priority(a) - priority(b));
    for (const { stream } of active.slice(this.#maxOpen)) {
      if (stream.state.phase !== "paused") stream.pause();
    }
    for (const { stream } of active.slice(0, this.#maxOpen)) stream.open();
  }

  /**
   * @param {string | symbol} key
   * @param {string} path
   * @param {StreamKind} kind
   */
  #open(key, path, kind) {
    /** @type {Set<Subscriber>} */
    const subscribers = new Set();
    const replay = makeReplayBuffer(kind);
    const stream = new EventStream(path, {
      onEvents: (events) => {
        replay.add(events);
        for (const subscriber of subscribers) subscriber.onEvents(events);
      },
      onState: (state) => {
        for (const subscriber of subscribers) subscriber.onState(state);
        // A stream that has ended makes room for another.
        if (hasEnded(state)) this.schedule();
      },
    });
    const shared = { key, kind, subscribers, replay, stream };
    this.#streams.set(key, shared);
    return shared;
  }
}

/** @param {StreamState} state */
function hasEnded({ phase }) {
  return phase === "ended" || phase === "failed";
}

/** @param {SharedStream} shared */
function priority({ kind, subscribers }) {
  const isVisible = [...subscribers].some((subscriber) => subscriber.isVisible());
  return (isVisible ? 0 : 10) + PRIORITIES[kind];
}
