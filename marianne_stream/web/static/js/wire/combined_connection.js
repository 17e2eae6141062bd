/** Connection of a combined stream, with the parts that it serves. */

import { EventOverlap } from "./event_overlap.js";
import { EventStream } from "./event_stream.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./stream_part.js").StreamPart} StreamPart */

export class CombinedConnection {
  stream;
  /** @type {Set<StreamPart>} parts in its URL that have not begun on a newer connection. */
  requested = new Set();
  /** @type {Set<StreamPart>} parts that have had an event on it, and are served by it. */
  begun = new Set();
  /** @type {Map<StreamPart, EventOverlap>} with the older connections, since the request. */
  #overlaps = new Map();

  /**
   * @param {() => string} makeUrl returns the URL of each request.
   * @param {object} on
   * @param {(events: ServerSentEvent[]) => void} on.onEvents
   * @param {(state: StreamState) => void} on.onState
   */
  constructor(makeUrl, on) {
    this.stream = new EventStream(makeUrl, on);
  }

  /**
   * Note that parts are requested, each at its cursor.
   *
   * @param {StreamPart[]} parts
   */
  request(parts) {
    this.requested = new Set(parts);
    const sequences = parts.filter(({ isSequence }) => isSequence);
    this.#overlaps = new Map(sequences.map((part) => [part, new EventOverlap()]));
  }

  /**
   * Expect that events of an older connection are repeated here.
   *
   * @param {StreamPart} part
   * @param {ServerSentEvent[]} events
   */
  expect(part, events) {
    this.#overlaps.get(part)?.add(events);
  }

  /**
   * Return events of this connection without those that an older one has given.
   *
   * @param {StreamPart} part
   * @param {ServerSentEvent[]} events
   */
  withoutRepeated(part, events) {
    return this.#overlaps.get(part)?.withoutRepeated(events) ?? events;
  }

  /**
   * Serve a part no longer.
   *
   * @param {StreamPart} part
   */
  release(part) {
    this.requested.delete(part);
    this.begun.delete(part);
  }

  /** Disconnect, and serve no part. */
  close() {
    this.stream.disconnect();
    this.requested.clear();
    this.begun.clear();
  }
}
