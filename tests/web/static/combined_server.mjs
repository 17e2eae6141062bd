/** Server of combined streams whose events the test sends. */

const encoder = new TextEncoder();

/** One connection. */
class Connection {
  isOpen = true;
  /** @type {ReadableStreamDefaultController | undefined} */
  #controller;

  /**
   * @param {string} url
   * @param {AbortSignal} signal
   */
  constructor(url, signal) {
    this.url = url;
    const query = new URL(url, "http://host").searchParams;
    this.parts = query.getAll("part");
    /** With the names of the parts instead of their numbers. */
    this.cursors = query
      .getAll("cursor")
      .map((text) => text.replace(/^\d+/, (number) => this.parts[Number(number) - 1]));
    const body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        signal.addEventListener("abort", () => {
          this.isOpen = false;
          controller.error(signal.reason);
        });
      },
    });
    const headers = { "Content-Type": "text/event-stream", Date: new Date().toUTCString() };
    this.response = new Response(body, { headers });
    this.#write("retry: 10\n\n");
  }

  /**
   * Send an event of a part.
   *
   * @param {string} part
   * @param {string} event
   * @param {string} id "" for an event without an id.
   * @param {object} [data]
   */
  send(part, event, id, data = {}) {
    this.#write(frame(part, event, id, data));
  }

  /**
   * Send events of a part at once, so that the client reads them together.
   *
   * @param {string} part
   * @param {[event: string, id: string, data?: object][]} events
   */
  sendTogether(part, events) {
    this.#write(events.map(([event, id, data]) => frame(part, event, id, data)).join(""));
  }

  /** Break the connection. */
  break() {
    this.isOpen = false;
    this.#controller?.error(new TypeError("gone"));
  }

  /** @param {string} text */
  #write(text) {
    this.#controller?.enqueue(encoder.encode(text));
  }
}

export class CombinedServer {
  /** @type {Connection[]} all connections, oldest first. */
  connections = [];
  /** @type {Response[]} responses to the next requests, instead of a stream. */
  responses = [];
  #isSilent = false;

  /** Answer all requests of this process. */
  install() {
    globalThis.fetch = async (input, init) => {
      const response = this.responses.shift();
      if (response) return response;
      const signal = /** @type {AbortSignal} */ (init?.signal);
      if (this.#isSilent) {
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        });
      }
      const connection = new Connection(String(input), signal);
      this.connections.push(connection);
      return connection.response;
    };
  }

  /** Answer no further requests. */
  silence() {
    this.#isSilent = true;
  }

  /** The newest connection. */
  get last() {
    return this.connections[this.connections.length - 1];
  }

  /** The connections that are open. */
  get open() {
    return this.connections.filter(({ isOpen }) => isOpen);
  }

  /**
   * Wait for a number of connections in all.
   *
   * @param {number} count
   */
  async connected(count) {
    await until(() => this.connections.length >= count);
    // The response reaches the client.
    await new Promise((resolve) => setImmediate(resolve));
    return this.last;
  }
}

/**
 * Wait until a condition holds.
 *
 * @param {() => unknown} condition
 */
export async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/**
 * @param {string} part
 * @param {string} event
 * @param {string} id
 * @param {object} [data]
 */
function frame(part, event, id, data = {}) {
  const text = JSON.stringify({ ...data, part });
  return `${id && `id: ${id}\n`}event: ${event}\ndata: ${text}\n\n`;
}
