/**
 * Server-Sent Events, read from text that arrives in any pieces (WHATWG HTML section 9.2.6).
 * Pure: it must not know where the text comes from.
 */

/** One stream's parser. */
export class EventParser {
  #rest = "";
  #afterCarriageReturn = false;
  #first = true;
  #data = [];
  #event = "";
  #id;

  /** @param {string} lastEventId the id that the client already has. */
  constructor(lastEventId = "") {
    this.#id = lastEventId;
    this.lastEventId = lastEventId;
    /** What the server asked to wait before coming back, in milliseconds; null where it did not. */
    this.retryMs = null;
  }

  /**
   * Takes text in, and gives the events that it completes.
   *
   * @param {string} text
   * @returns {{event: string, id: string, data: string}[]} `id` is the last id seen on the stream.
   */
  feed(text) {
    if (this.#first && text) {
      text = text.replace(/^\uFEFF/, "");
      this.#first = false;
    }
    if (this.#afterCarriageReturn && text) {
      text = text.replace(/^\n/, "");
      this.#afterCarriageReturn = false;
    }
    this.#afterCarriageReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else this.#dispatch(events);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(events) {
    this.lastEventId = this.#id;
    if (this.#data.length) {
      const event = this.#event || "message";
      events.push({ event, id: this.#id, data: this.#data.join("\n") });
    }
    this.#data = [];
    this.#event = "";
  }
}
