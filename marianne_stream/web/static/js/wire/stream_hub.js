/**
 * Hub of all streams of one browser: joins what its windows want into one combined stream, or into
 * several if one has no room. Runs in a worker or in a page.
 */

import { CombinedStream } from "./combined_stream.js";
import { StreamPart } from "./stream_part.js";

/** @typedef {import("./stream_part.js").Subscriber} Subscriber */

/**
 * @typedef {object} PartRequest
 * @property {string} part name of the part.
 * @property {string} [cursor] of a log: the position of the subscriber.
 */

/** Browsers open six HTTP/1.1 connections to a host; two are left for other requests. */
const MAX_STREAMS = 4;

const TICK_MS = 5_000;

/** Delay of a tick from which the machine is taken to have slept. */
const SLEEP_THRESHOLD_MS = 15_000;

export class StreamHub {
  /** @type {Map<Subscriber, StreamPart>} */
  #subscriptions = new Map();
  /** @type {Map<StreamPart, CombinedStream>} parts that have not ended. */
  #parts = new Map();
  /** @type {Set<StreamPart>} parts that no stream has room for. */
  #waiting = new Set();
  /** @type {Set<CombinedStream>} */
  #streams = new Set();
  #isPaused;
  #lastTickAt = Date.now();

  /** @param {{isPaused?: boolean}} [options] `isPaused`: do not connect until `resume`. */
  constructor({ isPaused = false } = {}) {
    this.#isPaused = isPaused;
  }

  /** Check the streams every few seconds, for as long as the worker or page exists. */
  run() {
    setInterval(() => this.tick(), TICK_MS);
  }

  /**
   * Subscribe to a part. The subscriber gets its state and the replayed events at once.
   *
   * @param {PartRequest} request
   * @param {Subscriber} subscriber
   */
  subscribe({ part: base, cursor = "" }, subscriber) {
    const known = [...this.#parts.keys(), ...this.#waiting];
    let part = known.find((one) => one.serves(base, cursor));
    if (!part) {
      part = new StreamPart(makeName(base, known), base, cursor);
      this.#place(part);
    }
    this.#subscriptions.set(subscriber, part);
    part.add(subscriber, cursor);
  }

  /**
   * End a subscription; the part of the last subscriber is removed.
   *
   * @param {Subscriber} subscriber
   */
  unsubscribe(subscriber) {
    const part = this.#subscriptions.get(subscriber);
    this.#subscriptions.delete(subscriber);
    part?.remove(subscriber);
    if (!part?.isUnused) return;
    this.#waiting.delete(part);
    this.#parts.get(part)?.remove(part);
    this.#release(part);
  }

  /** Disconnect all streams. */
  pause() {
    this.#isPaused = true;
    for (const stream of this.#streams) stream.pause();
  }

  /** Connect again after `pause`. */
  resume() {
    this.#isPaused = false;
    for (const stream of this.#streams) stream.resume();
  }

  /** Reconnect waiting streams at once: the network is back, or a tab has become visible. */
  wake() {
    for (const stream of this.#streams) stream.check({ afterSleep: true });
  }

  /**
   * Check the streams for lost connections. A late tick means that the machine has slept.
   *
   * @param {number} [now] epoch milliseconds.
   */
  tick(now = Date.now()) {
    const afterSleep = now - this.#lastTickAt > TICK_MS + SLEEP_THRESHOLD_MS;
    this.#lastTickAt = now;
    for (const stream of this.#streams) stream.check({ afterSleep });
  }

  /**
   * Put a part into a stream with room for it, or let it wait for room.
   *
   * @param {StreamPart} part
   */
  #place(part) {
    let stream = [...this.#streams].find((one) => one.hasRoomFor(part));
    if (!stream && this.#streams.size < MAX_STREAMS) {
      stream = new CombinedStream({
        onPartEnded: (ended) => this.#release(ended),
        onPartMoved: (moved) => this.#place(moved),
      });
      if (this.#isPaused) stream.pause();
      this.#streams.add(stream);
    }
    if (stream) {
      this.#parts.set(part, stream);
      stream.add(part);
    } else {
      part.setState({ phase: "paused", since: Date.now() });
      this.#waiting.add(part);
    }
  }

  /**
   * Forget a part, close its stream if that has no other, and give its room to parts that wait.
   *
   * @param {StreamPart} part
   */
  #release(part) {
    const stream = this.#parts.get(part);
    this.#parts.delete(part);
    if (stream?.isUnused) {
      stream.close();
      this.#streams.delete(stream);
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const one of waiting) this.#place(one);
  }
}

/**
 * Return a name for a part that no known part has. The server ignores the parameter.
 *
 * @param {string} base
 * @param {StreamPart[]} known
 */
function makeName(base, known) {
  const names = new Set(known.map(({ name }) => name));
  let name = base;
  for (let copy = 2; names.has(name); copy += 1) {
    name = `${base}${base.includes("?") ? "&" : "?"}copy=${copy}`;
  }
  return name;
}
