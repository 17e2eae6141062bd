/**
 * Overlap of connections: while an older one still serves a part, a newer one has been requested
 * already, and will give the same events once more.
 */

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */

/** Events that are given anew by each connection, replace each other, and are no position in a log. */
export const STATE_EVENTS = new Set(["source", "part_start", "log_missing", "log_partial"]);

export class EventOverlap {
  /** @type {string[]} keys of the events that will be repeated, in order. */
  #keys = [];

  /**
   * Add events of an older connection.
   *
   * @param {ServerSentEvent[]} events
   */
  add(events) {
    this.#keys.push(...events.filter(({ event }) => !STATE_EVENTS.has(event)).map(makeKey));
  }

  /**
   * Return the events of the newer connection without the repeated ones.
   *
   * @param {ServerSentEvent[]} events
   */
  withoutRepeated(events) {
    return this.#keys.length ? events.flatMap((event) => this.#withoutRepeated(event)) : events;
  }

  /** @param {ServerSentEvent} event */
  #withoutRepeated(event) {
    if (!this.#keys.length) return [event];
    // Its id is the position at which the connection began: it has been passed.
    if (STATE_EVENTS.has(event.event)) return [{ ...event, id: "" }];
    const index = this.#keys.indexOf(makeKey(event));
    if (index >= 0) this.#keys.splice(0, index + 1);
    // Events are in order: behind a new one, none is repeated.
    else if (event.id) this.#keys = [];
    return index >= 0 ? [] : [event];
  }
}

/** @param {ServerSentEvent} event */
function makeKey({ event, id, data }) {
  return id || `${event} ${data}`;
}
