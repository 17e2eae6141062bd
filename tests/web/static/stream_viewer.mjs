/** Windows of the streams' tests. */

/** @typedef {import("../../../marianne_stream/web/static/js/wire/stream_part.js").Subscriber} Subscriber */

/** Window that keeps what it gets. */
export class Viewer {
  /** @type {import("../../../marianne_stream/web/static/js/wire/event_parser.js").ServerSentEvent[]} */
  events = [];
  /** @type {import("../../../marianne_stream/web/static/js/wire/event_stream.js").StreamState[]} */
  states = [];
  #hub;
  /** @type {Subscriber} */
  #subscriber = {
    onEvents: (events) => this.events.push(...events),
    onState: (state) => this.states.push(state),
  };

  /**
   * @param {import("../../../marianne_stream/web/static/js/wire/stream_hub.js").StreamHub} hub
   * @param {string} part
   * @param {string} [cursor]
   */
  constructor(hub, part, cursor) {
    this.#hub = hub;
    hub.subscribe({ part, cursor }, this.#subscriber);
  }

  get state() {
    return this.states[this.states.length - 1];
  }

  get phase() {
    return this.state.phase;
  }

  /** The phases in their order, each once while it lasts. */
  get phases() {
    const phases = this.states.map(({ phase }) => phase);
    return phases.filter((phase, index) => phase !== phases[index - 1]);
  }

  get ids() {
    return this.events.map(({ id }) => id);
  }

  close() {
    this.#hub.unsubscribe(this.#subscriber);
  }
}

/**
 * Return the cursor behind a line of a log.
 *
 * @param {number} number
 * @param {string} [file] hash of the first line.
 */
export function line(number, file = "aa") {
  return `l-5f-${file.padStart(16, "0")}-${number * 40}-${number}-00000000000000cc`;
}

/** @param {Viewer[]} viewers */
export function closeAll(...viewers) {
  for (const viewer of viewers) viewer.close();
}
