/**
 * Combined stream: the parts that a browser's windows want, in one connection. If the parts change, a
 * new connection is opened beside the present one, which goes on until each of its parts has begun on
 * a newer one. Each part resumes at its own cursor.
 */

import { CombinedConnection } from "./combined_connection.js";
import { fitIntoUrl, isUrlTooLong, makeUrl } from "./combined_url.js";
import { isRetryable } from "./event_stream.js";
import { PartRetries } from "./part_retries.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event_stream.js").StreamState} StreamState */
/** @typedef {import("./stream_part.js").StreamPart} StreamPart */

/**
 * @typedef {object} CombinedStreamCallbacks
 * @property {(part: StreamPart) => void} onPartEnded is called after a part has left the stream.
 * @property {(part: StreamPart) => void} onPartMoved is called after a part has left the stream because
 *   the URL was too long with it.
 */

/** Delay of a request after a change of the parts: windows ask for several parts at once. */
const CHANGE_DELAY_MS = 10;

/** The same after a part was removed: its events are ignored meanwhile, and others may come. */
const REMOVAL_DELAY_MS = 5_000;

/** Requests are at least this far apart, however many windows are opened. */
const MIN_INTERVAL_MS = 250;

/** If a new connection is not answered by then, the older ones are taken to be lost as well. */
const HANDOVER_TIMEOUT_MS = 3_000;

/** Browsers open six HTTP/1.1 connections to a host. */
const MAX_CONNECTIONS = 3;

export class CombinedStream {
  /** @type {Map<string, StreamPart>} by name. */
  #parts = new Map();
  /** The newest connection, behind older ones that serve parts which have not begun anew. */
  #connections = [this.#makeConnection()];
  #retries = new PartRetries((parts) => this.#retryParts(parts));
  #on;
  #isPaused = false;
  #requestedAt = -MIN_INTERVAL_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} of the next request. */
  #timer;
  #dueAt = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} of the older connections. */
  #handoverTimer;

  /** @param {CombinedStreamCallbacks} on */
  constructor(on) {
    this.#on = on;
  }

  get isUnused() {
    return this.#parts.size === 0;
  }

  get #newest() {
    return this.#connections[this.#connections.length - 1];
  }

  get #older() {
    return this.#connections.slice(0, -1);
  }

  /** @param {StreamPart} part */
  hasRoomFor(part) {
    return fitIntoUrl([...this.#parts.values(), part]);
  }

  /** @param {StreamPart} part */
  add(part) {
    this.#parts.set(part.name, part);
    part.setState({ ...part.state, phase: "connecting", since: Date.now() });
    this.#schedule(CHANGE_DELAY_MS);
  }

  /** @param {StreamPart} part */
  remove(part) {
    this.#forget(part);
    this.#disconnectIfIdle();
    this.#schedule(REMOVAL_DELAY_MS);
  }

  /** Disconnect, and do not connect until `resume`. */
  pause() {
    this.#isPaused = true;
    this.#disconnect();
    for (const part of this.#parts.values()) part.setState(this.#newest.stream.state);
  }

  resume() {
    this.#isPaused = false;
    this.#schedule(CHANGE_DELAY_MS);
  }

  /** @param {{afterSleep: boolean}} options see `EventStream.check`. */
  check(options) {
    if (options.afterSleep) this.#retries.retryNow();
    for (const { stream } of this.#connections) stream.check(options);
  }

  close() {
    clearTimeout(this.#timer);
    this.#retries.close();
    this.#disconnect();
  }

  #makeConnection() {
    /** @type {CombinedConnection} */
    const connection = new CombinedConnection(() => this.#makeUrl(connection), {
      onEvents: (events) => this.#receive(connection, events),
      onState: (state) => this.#onState(connection, state),
    });
    return connection;
  }

  /**
   * Request the parts anew, soon.
   *
   * @param {number} delayMs
   */
  #schedule(delayMs) {
    if (this.#isPaused) return;
    const now = performance.now();
    const dueAt = Math.max(now + delayMs, this.#requestedAt + MIN_INTERVAL_MS);
    if (dueAt >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => this.#request(), dueAt - now);
  }

  #request() {
    this.#dueAt = Infinity;
    if (this.#isPaused || !this.#wanted().length) return;
    if (this.#newest.begun.size) this.#connections.push(this.#makeConnection());
    if (this.#connections.length > MAX_CONNECTIONS) this.#close(this.#connections[0]);
    if (this.#older.length) {
      clearTimeout(this.#handoverTimer);
      this.#handoverTimer = setTimeout(() => this.#onHandoverTimeout(), HANDOVER_TIMEOUT_MS);
    }
    this.#newest.stream.open();
  }

  #onHandoverTimeout() {
    if (this.#newest.stream.state.phase === "connecting") this.#closeOlder();
  }

  /** @param {CombinedConnection} connection */
  #olderThan(connection) {
    return this.#connections.slice(0, this.#connections.indexOf(connection));
  }

  /** @param {CombinedConnection} connection */
  #newerThan(connection) {
    return this.#connections.slice(this.#connections.indexOf(connection) + 1);
  }

  /** Return the parts to request. */
  #wanted() {
    return [...this.#parts.values()].filter((part) => !this.#retries.isWaiting(part));
  }

  /**
   * Return the URL of a request, and note its parts.
   *
   * @param {CombinedConnection} connection
   */
  #makeUrl(connection) {
    this.#requestedAt = performance.now();
    const parts = this.#wanted();
    while (parts.length > 1 && isUrlTooLong(parts)) {
      const part = /** @type {StreamPart} */ (parts.pop());
      this.#forget(part);
      this.#on.onPartMoved(part);
    }
    connection.request(parts);
    return makeUrl(parts);
  }

  /**
   * @param {CombinedConnection} connection
   * @param {ServerSentEvent[]} events
   */
  #receive(connection, events) {
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
      if (part && connection.requested.has(part)) this.#receivePart(connection, part, ofPart);
    }
    this.#closeUnused();
  }

  /**
   * @param {CombinedConnection} connection
   * @param {StreamPart} part
   * @param {ServerSentEvent[]} events
   */
  #receivePart(connection, part, events) {
    const error = events.find(({ event }) => event === "part_error");
    const shown = events.filter((event) => event !== error);
    if (shown.length) {
      this.#begin(connection, part);
      const passed = connection.withoutRepeated(part, shown);
      for (const newer of this.#newerThan(connection)) newer.expect(part, passed);
      part.receive(passed);
    }
    if (error) this.#onPartError(connection, part, JSON.parse(error.data));
    else if (part.hasEnded) this.#drop(part);
  }

  /**
   * Let a connection serve a part, which is live now.
   *
   * @param {CombinedConnection} connection
   * @param {StreamPart} part
   */
  #begin(connection, part) {
    if (connection.begun.has(part)) return;
    connection.begun.add(part);
    for (const older of this.#olderThan(connection)) older.release(part);
    part.setState({ ...connection.stream.state, since: Date.now() });
  }

  /**
   * @param {CombinedConnection} connection
   * @param {StreamPart} part
   * @param {{status: number, code: string, detail: string}} error
   */
  #onPartError(connection, part, { status, code, detail }) {
    const wasServed = connection.begun.has(part);
    connection.release(part);
    if (connection !== this.#newest) {
      if (wasServed) this.#lose(part, Date.now());
      return;
    }
    for (const older of this.#older) older.release(part);
    const since = Date.now();
    const { offset } = connection.stream.state;
    if (!isRetryable(status)) {
      part.setState({ phase: "failed", since, offset, status, code, detail });
      this.#drop(part);
      return;
    }
    const retryAt = this.#retries.add(part);
    part.setState({ phase: "waiting", since, offset, retryAt, code, detail });
    this.#disconnectIfIdle();
  }

  /** @param {StreamPart[]} parts to request once more. */
  #retryParts(parts) {
    for (const part of parts) part.setState({ ...part.state, phase: "connecting" });
    this.#schedule(CHANGE_DELAY_MS);
  }

  /**
   * @param {CombinedConnection} connection
   * @param {StreamState} state
   */
  #onState(connection, state) {
    if (connection !== this.#newest) {
      if (state.phase !== "live") this.#close(connection);
      return;
    }
    const isFinal = state.phase === "ended" || state.phase === "failed";
    if (state.phase !== "live") connection.begun.clear();
    for (const part of [...connection.requested]) {
      // An older connection still serves the part.
      if (this.#older.some(({ begun }) => begun.has(part)) && !isFinal) continue;
      // The connection is live; the part is once it has begun.
      part.setState(state.phase === "live" ? { ...state, phase: "connecting" } : state);
      if (part.hasEnded) this.#drop(part);
    }
  }

  /**
   * Close a connection; its parts wait for the newest one.
   *
   * @param {CombinedConnection} connection
   */
  #close(connection) {
    this.#connections = this.#connections.filter((one) => one !== connection);
    if (!this.#older.length) clearTimeout(this.#handoverTimer);
    const { phase, since } = connection.stream.state;
    const lostAt = phase === "live" ? connection.stream.receivedAt : since;
    for (const part of connection.begun) this.#lose(part, lostAt);
    connection.close();
  }

  #closeOlder() {
    for (const connection of this.#older) this.#close(connection);
  }

  #closeUnused() {
    for (const connection of this.#older) if (!connection.begun.size) this.#close(connection);
  }

  /**
   * Note that no connection serves a part; the newest one will.
   *
   * @param {StreamPart} part
   * @param {number} since
   */
  #lose(part, since) {
    const { state } = this.#newest.stream;
    const phase = state.phase === "live" ? "connecting" : state.phase;
    part.setState({ ...state, phase, since });
  }

  /** @param {StreamPart} part that has ended. */
  #drop(part) {
    this.#forget(part);
    this.#disconnectIfIdle();
    this.#on.onPartEnded(part);
  }

  /** @param {StreamPart} part */
  #forget(part) {
    this.#parts.delete(part.name);
    this.#retries.delete(part);
    for (const connection of this.#connections) connection.release(part);
  }

  /** Disconnect without a part to request: the server ends the connection as well. */
  #disconnectIfIdle() {
    if (!this.#wanted().length) this.#disconnect();
    else this.#closeUnused();
  }

  #disconnect() {
    this.#closeOlder();
    this.#newest.stream.disconnect();
    this.#newest.begun.clear();
  }
}
