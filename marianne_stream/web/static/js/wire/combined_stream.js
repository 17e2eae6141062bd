/**
 * Combined stream: the parts that a browser's windows want, in one connection. The connection is
 * opened anew when the parts change; each part resumes at its own cursor.
 */

import { backoffMs, EventStream, FIRST_RETRY_MS, isRetryable } from "./event_stream.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./stream_part.js").StreamPart} StreamPart */

/** Limit of the server. */
const MAX_PARTS = 32;

/** Proxies reject longer request lines than 8 KiB. */
const MAX_URL_CHARS = 7_000;

/** More than any cursor has. */
const CURSOR_CHARS = 100;

/** Delay of a request after a change of the parts: windows ask for several parts at once. */
const CHANGE_DELAY_MS = 10;

/** Requests are at least this far apart, however many windows are opened. */
const MIN_INTERVAL_MS = 250;

export class CombinedStream {
  /** @type {Map<string, StreamPart>} by name. */
  #parts = new Map();
  /** @type {Set<StreamPart>} the parts of the present connection. */
  #requested = new Set();
  #stream = new EventStream(() => this.#makeUrl(), {
    onEvents: (events) => this.#receive(events),
    onState: (state) => this.#setState(state),
  });
  #onPartEnded;
  #isPaused = false;
  #requestedAt = -MIN_INTERVAL_MS;
  /** @type {ReturnType<typeof setTimeout> | null} of the next request. */
  #timer = null;
  /** @type {ReturnType<typeof setTimeout> | null} of parts with a temporary error. */
  #retryTimer = null;

  /** @param {(part: StreamPart) => void} onPartEnded is called after a part has left the stream. */
  constructor(onPartEnded) {
    this.#onPartEnded = onPartEnded;
  }

  get isUnused() {
    return this.#parts.size === 0;
  }

  /** @param {StreamPart} part */
  hasRoomFor(part) {
    let chars = urlChars(part);
    for (const { name } of this.#parts.values()) chars += urlChars({ name });
    return this.#parts.size < MAX_PARTS && chars <= MAX_URL_CHARS;
  }

  /** @param {StreamPart} part */
  add(part) {
    this.#parts.set(part.name, part);
    this.#schedule();
  }

  /** @param {StreamPart} part */
  remove(part) {
    this.#parts.delete(part.name);
    this.#requested.delete(part);
    this.#schedule();
  }

  /** Disconnect, and do not connect until `resume`. */
  pause() {
    this.#isPaused = true;
    this.#stream.disconnect();
    for (const part of this.#parts.values()) part.setState(this.#stream.state);
  }

  resume() {
    this.#isPaused = false;
    this.#schedule();
  }

  /** @param {{afterSleep: boolean}} options see `EventStream.check`. */
  check(options) {
    if (options.afterSleep && this.#retryTimer !== null) this.#retryParts();
    this.#stream.check(options);
  }

  close() {
    clearTimeout(this.#timer ?? undefined);
    clearTimeout(this.#retryTimer ?? undefined);
    this.#stream.disconnect();
  }

  /** Open the stream anew with its parts, soon. */
  #schedule() {
    if (this.#timer !== null || this.#isPaused) return;
    const earliest = this.#requestedAt + MIN_INTERVAL_MS - performance.now();
    this.#timer = setTimeout(() => this.#request(), Math.max(CHANGE_DELAY_MS, earliest));
  }

  #request() {
    this.#timer = null;
    if (this.#isPaused) return;
    if (this.#wanted().length) this.#stream.open();
    else this.#stream.disconnect();
  }

  /** Return the parts to request. */
  #wanted() {
    return [...this.#parts.values()].filter(({ isDelayed }) => !isDelayed);
  }

  #makeUrl() {
    this.#requestedAt = performance.now();
    this.#requested = new Set(this.#wanted());
    const query = new URLSearchParams();
    for (const { name } of this.#requested) query.append("part", name);
    for (const { name, cursor } of this.#requested) {
      if (cursor) query.append("cursor", `${name},${cursor}`);
    }
    return `/api/stream?${query}`;
  }

  /** @param {ServerSentEvent[]} events */
  #receive(events) {
    /** @type {Map<string, ServerSentEvent[]>} */
    const byPart = new Map();
    for (const event of events) {
      // A heartbeat is of no part.
      const { part } = JSON.parse(event.data);
      if (byPart.has(part)) byPart.get(part)?.push(event);
      else byPart.set(part, [event]);
    }
    for (const [name, ofPart] of byPart) {
      const part = this.#parts.get(name);
      if (part && this.#requested.has(part)) this.#receivePart(part, ofPart);
    }
  }

  /**
   * @param {StreamPart} part
   * @param {ServerSentEvent[]} events
   */
  #receivePart(part, events) {
    const error = events.find(({ event }) => event === "part_error");
    const shown = events.filter((event) => event !== error);
    if (shown.length) part.receive(shown);
    if (error) this.#failPart(part, JSON.parse(error.data));
    else if (part.hasEnded) this.#drop(part);
  }

  /**
   * @param {StreamPart} part
   * @param {{status: number, code: string, detail: string}} error
   */
  #failPart(part, { status, code, detail }) {
    const since = Date.now();
    const { offset } = this.#stream.state;
    if (!isRetryable(status)) {
      part.setState({ phase: "failed", since, offset, status, code, detail });
      this.#drop(part);
      return;
    }
    const delayMs = backoffMs(FIRST_RETRY_MS, part.errors);
    part.errors += 1;
    part.isDelayed = true;
    this.#requested.delete(part);
    part.setState({ phase: "waiting", since, offset, retryAt: since + delayMs, code, detail });
    this.#retryTimer ??= setTimeout(() => this.#retryParts(), delayMs);
    this.#disconnectIfIdle();
  }

  /** Request all parts with a temporary error once more. */
  #retryParts() {
    clearTimeout(this.#retryTimer ?? undefined);
    this.#retryTimer = null;
    for (const part of this.#parts.values()) {
      if (!part.isDelayed) continue;
      part.isDelayed = false;
      part.setState({ ...part.state, phase: "connecting" });
    }
    this.#schedule();
  }

  /** @param {StreamState} state */
  #setState(state) {
    for (const part of [...this.#requested]) {
      part.setState(state);
      if (part.hasEnded) this.#drop(part);
    }
  }

  /** @param {StreamPart} part that has ended. */
  #drop(part) {
    this.#parts.delete(part.name);
    this.#requested.delete(part);
    this.#disconnectIfIdle();
    this.#onPartEnded(part);
  }

  /** Disconnect without a part to request: the server ends the connection as well. */
  #disconnectIfIdle() {
    if (!this.#wanted().length) this.#stream.disconnect();
  }
}

/**
 * Return the length that a part takes in the URL.
 *
 * @param {{name: string}} part
 */
function urlChars({ name }) {
  return 2 * encodeURIComponent(name).length + CURSOR_CHARS;
}
