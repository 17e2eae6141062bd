/**
 * Reconnecting client of one event stream: connects, resumes, retries, and detects silent connections.
 * EventSource does not see comments, so it cannot detect a lost connection, and it gives up for good
 * on responses that are temporary.
 */

import { readError } from "./api.js";
import { EventParser } from "./event_parser.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("../model/server_clock.js").ClockOffset} ClockOffset */

/**
 * @typedef {object} StreamState
 * @property {"connecting" | "live" | "waiting" | "paused" | "ended" | "failed"} phase `waiting` until
 *   `retryAt`; `paused` to let other streams connect; `ended` if nothing more will come; `failed` for
 *   good, for the reason in `status`, `code` and `detail`.
 * @property {number} since epoch milliseconds.
 * @property {number} [retryAt] epoch milliseconds.
 * @property {number} [status] of the response.
 * @property {string} [code] of the error.
 * @property {string} [detail] of the error.
 * @property {ClockOffset} [offset] of the server's clock, from the first response on.
 */

/** @typedef {(url: string, init: RequestInit) => Promise<Response>} Fetch */

/** @typedef {Omit<StreamState, "since" | "offset">} PhaseChange */

/** The server is silent for 15 s at most: after three times that, the connection is lost. */
const SILENCE_LIMIT_MS = 45_000;

/** The same after the machine has slept. */
const SILENCE_LIMIT_AFTER_SLEEP_MS = 18_000;

const FIRST_RETRY_MS = 2_000;
const MAX_RETRY_MS = 30_000;

/** A request without a response by then went into a dead connection. */
const RESPONSE_TIMEOUT_MS = 15_000;

/** A stream that has been open this long is live, even without an event. */
const LIVE_AFTER_MS = 1_000;

/** Events after which the server ends a stream for good. */
const FINAL_EVENTS = new Set(["job_finished", "job_deleted", "log_complete"]);

/** A stream, from `open` to `close`. */
export class EventStream {
  #url;
  #onEvents;
  #onState;
  #fetch;
  #lastEventId = "";
  #retryMs = FIRST_RETRY_MS;
  #attempts = 0;
  /** @type {AbortController | null} */
  #abort = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #retryTimer = null;
  #receivedAt = 0;
  #requestedAt = 0;
  /** Time at which a connection that has fallen silent was last heard; 0 for none. */
  #silentSince = 0;
  /** @type {ClockOffset | undefined} */
  #offset;
  #isClosed = false;
  /** @type {StreamState} */
  state = { phase: "connecting", since: Date.now() };

  /**
   * @param {string} url
   * @param {object} options
   * @param {(events: ServerSentEvent[]) => void} options.onEvents is called with all events of one
   *   piece of the response.
   * @param {(state: StreamState) => void} options.onState
   * @param {Fetch} [options.fetch]
   */
  constructor(url, { onEvents, onState, fetch = globalThis.fetch.bind(globalThis) }) {
    this.#url = url;
    this.#onEvents = onEvents;
    this.#onState = onState;
    this.#fetch = fetch;
  }

  /** Connect, unless the stream is open or has ended. */
  open() {
    if (this.#abort || this.#retryTimer !== null || this.#isClosed) return;
    this.#connect();
  }

  /** Disconnect; `open` resumes. */
  pause() {
    if (this.#isClosed) return;
    this.#disconnect();
    this.#setState({ phase: "paused" });
  }

  /** Disconnect for good. */
  close() {
    this.#isClosed = true;
    this.#disconnect();
  }

  /**
   * Reconnect if the connection is lost or, after a sleep, if the stream waits for a retry.
   *
   * @param {{afterSleep?: boolean}} [options]
   */
  check({ afterSleep = false } = {}) {
    if (this.#retryTimer !== null && afterSleep) this.#reconnect();
    else if (this.#abort && this.#isLost(afterSleep)) {
      this.#silentSince = Math.min(this.#receivedAt, Date.now());
      this.#reconnect();
    }
  }

  /** @param {boolean} afterSleep */
  #isLost(afterSleep) {
    const now = Date.now();
    const wasSetBack = now < Math.max(this.#receivedAt, this.#requestedAt);
    return wasSetBack || now > this.#deadline(afterSleep);
  }

  /** @param {boolean} afterSleep */
  #deadline(afterSleep) {
    if (!this.#receivedAt) return this.#requestedAt + RESPONSE_TIMEOUT_MS;
    return this.#receivedAt + (afterSleep ? SILENCE_LIMIT_AFTER_SLEEP_MS : SILENCE_LIMIT_MS);
  }

  #disconnect() {
    clearTimeout(this.#retryTimer ?? undefined);
    this.#retryTimer = null;
    this.#abort?.abort();
    this.#abort = null;
  }

  #reconnect() {
    this.#disconnect();
    this.#connect();
  }

  async #connect() {
    const abort = (this.#abort = new AbortController());
    this.#requestedAt = Date.now();
    this.#receivedAt = 0;
    this.#setState({ phase: "connecting" });
    try {
      const outcome = await this.#request(abort.signal);
      if (this.#abort !== abort) return;
      this.#abort = null;
      if (outcome) this.#finish(outcome);
      else this.#scheduleRetry();
    } catch {
      // `fetch` and the body give no reason: the connection is gone.
      if (this.#abort !== abort) return;
      this.#abort = null;
      this.#scheduleRetry();
    }
  }

  /**
   * Request the stream and read it to the end of the connection.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<PhaseChange | null>} the final state; null to connect again.
   */
  async #request(signal) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream" };
    if (this.#lastEventId) headers["Last-Event-ID"] = this.#lastEventId;
    const response = await this.#fetch(this.#url, { headers, signal, cache: "no-store" });
    this.#offset = clockOffset(response.headers.get("Date"), this.#requestedAt, Date.now());
    if (response.status === 204) return { phase: "ended" };
    const type = response.headers.get("Content-Type") ?? "";
    if (response.status === 200 && response.body && type.startsWith("text/event-stream")) {
      return this.#read(response.body, signal);
    }
    if (isRetryable(response.status)) return null;
    const { status, code, message: detail } = await readError(response);
    return { phase: "failed", status, code, detail };
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortSignal} signal
   * @returns {Promise<PhaseChange | null>}
   */
  async #read(body, signal) {
    const parser = new EventParser(this.#lastEventId);
    const decoder = new TextDecoder();
    const reader = body.getReader();
    this.#receivedAt = Date.now();
    const timer = setTimeout(() => this.#setLive(signal), LIVE_AFTER_MS);
    signal.addEventListener("abort", () => clearTimeout(timer));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) {
        clearTimeout(timer);
        return null;
      }
      this.#receivedAt = Date.now();
      const events = parser.feed(decoder.decode(value, { stream: true }));
      this.#lastEventId = parser.lastEventId;
      if (parser.retryMs !== null) this.#retryMs = parser.retryMs;
      if (events.length) {
        for (const event of events) event.at = this.#receivedAt;
        this.#attempts = 0;
        // The state first: it has the clock offset that the times of the events need.
        this.#setLive(signal);
        this.#onEvents(events);
        if (events.some(({ event }) => FINAL_EVENTS.has(event))) {
          clearTimeout(timer);
          return { phase: "ended" };
        }
      }
    }
  }

  /** @param {AbortSignal} signal */
  #setLive(signal) {
    if (!signal.aborted && this.state.phase === "connecting") this.#setState({ phase: "live" });
  }

  /** @param {PhaseChange} outcome */
  #finish(outcome) {
    this.#isClosed = true;
    this.#setState(outcome);
  }

  /** Wait with exponential backoff and jitter, so that pages do not reconnect at the same moment. */
  #scheduleRetry() {
    const backoffMs = Math.min(this.#retryMs * 2 ** this.#attempts, MAX_RETRY_MS);
    const delayMs = Math.max(this.#retryMs, backoffMs) * (0.8 + 0.4 * Math.random());
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => this.#reconnect(), delayMs);
    this.#setState({ phase: "waiting", retryAt: Date.now() + delayMs });
  }

  /** @param {PhaseChange} change */
  #setState(change) {
    // `since` is the time at which the connection was lost, through all attempts to reconnect.
    const lost = new Set(["connecting", "waiting"]);
    const isStillLost = lost.has(change.phase) && lost.has(this.state.phase);
    this.state = {
      since: isStillLost ? this.state.since : this.#silentSince || Date.now(),
      offset: this.#offset,
      ...change,
    };
    this.#silentSince = 0;
    this.#onState(this.state);
  }
}

/**
 * Return the offset of the server's clock from a response.
 *
 * @param {string | null} date the response's `Date`, cut to the second (RFC 9110 section 5.6.7).
 * @param {number} requestedAt local time, epoch milliseconds.
 * @param {number} respondedAt local time, epoch milliseconds.
 * @returns {ClockOffset} without a valid date, the clocks are taken to be equal.
 */
export function clockOffset(date, requestedAt, respondedAt) {
  const at = Date.parse(date ?? "");
  if (Number.isNaN(at)) return { low: 0, high: 0 };
  return { low: at - respondedAt, high: at + 1000 - requestedAt };
}

/**
 * Return true if the same request may succeed later (RFC 9110 section 15).
 *
 * @param {number} status
 */
function isRetryable(status) {
  return status === 200 || status === 429 || status >= 500;
}
