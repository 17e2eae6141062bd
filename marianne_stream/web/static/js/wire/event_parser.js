/** Parser of Server-Sent Events from text in pieces of any size (WHATWG HTML section 9.2.6). */

/**
 * @typedef {object} ServerSentEvent
 * @property {string} event
 * @property {string} id the event's own id; "" if it has none.
 * @property {string} data
 * @property {number} [at] time of reception, epoch milliseconds.
 */

export class EventParser {
  #incompleteLine = "";
  #afterCarriageReturn = false;
  #isFirstText = true;
  /** @type {string[]} */
  #data = [];
  #event = "";
  #id = "";
  /** @type {number | null} the reconnection time that the server set, in ms; null if it set none. */
  retryMs = null;

  /**
   * Parse more text and return the events that it completes.
   *
   * @param {string} text
   */
  feed(text) {
    if (this.#isFirstText && text) {
      text = text.replace(/^\uFEFF/, "");
      this.#isFirstText = false;
    }
    if (this.#afterCarriageReturn && text) {
      text = text.replace(/^\n/, "");
      this.#afterCarriageReturn = false;
    }
    this.#afterCarriageReturn = text.endsWith("\r");
    const lines = (this.#incompleteLine + text).split(/\r\n|\n|\r/);
    this.#incompleteLine = lines.pop() ?? "";
    /** @type {ServerSentEvent[]} */
    const events = [];
    for (const line of lines) {
      if (line) this.#parseField(line);
      else this.#dispatch(events);
    }
    return events;
  }

  /** @param {string} line */
  #parseField(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
  }

  /** @param {ServerSentEvent[]} events */
  #dispatch(events) {
    if (this.#data.length) {
      const event = this.#event || "message";
      events.push({ event, id: this.#id, data: this.#data.join("\n") });
    }
    this.#data = [];
    this.#event = this.#id = "";
  }
}
