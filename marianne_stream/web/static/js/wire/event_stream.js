/**
 * Reconnecting client of one event stream: connects, retries, and detects silent connections.
 * EventSource does not see comments, so it cannot detect a lost connection, and it gives up for good
 * on responses that are temporary, for example those of a proxy while the server is replaced.
 */

import { readError } from "./api.js";
import { EventParser } from "./event_parser.js";

/** @typedef {import("./event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("../model/server_clock.js").ClockOffset} ClockOffset */

/**
 * @typedef {object} StreamState
 * @property {"connecting" | "live" | "waiting" | "paused" | "ended" | "failed"} phase `waiting` until
 *   `retryAt`; `paused` while the streams of the browser have no room for it; `ended` if nothing more
 *   will come; `failed` for good. If the server gave a reason, it is in `status`, `code` and `detail`.
 * @property {number} since epoch milliseconds.
 * @property {number} [retryAt] epoch milliseconds.
 * @property {number} [status] of the response.
 * @property {string} [code] of the error.
 * @property {string} [detail] of the error.
 * @property {string} [reason] why the whole request was rejected, which is repeated.
 * @property {ClockOffset} [offset] of the server's clock, from the first response on.
 */

/** @typedef {(url: string, init: RequestInit) => Promise<Response>} Fetch */

/** @typedef {Omit<StreamState, "since" | "offset">} PhaseChange */

/** The server is silent for 15 s at most: after three times that, the connection is lost. */
const SILENCE_LIMIT_MS = 45_000;

/** The same after the machine has slept. */
const SILENCE_LIMIT_AFTER_SLEEP_MS = 18_000;

export const FIRST_RETRY_MS = 2_000;
const MAX_RETRY_MS = 30_000;

/** A request without a response by then went into a dead connection. */
const RESPONSE_TIMEOUT_MS = 15_000;

export class EventStream {
  #makeUrl;
  #onEvents;
  #onState;
  #fetch;
  #retryMs = FIRST_RETRY_MS;
  #attempts = 0;
  /** @type {AbortController | null} */
  #abort = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #retryTimer = null;
  #requestedAt = 0;
  /** Time at which a connection that has fallen silent was last heard; 0 for none. */
  #silentSince = 0;
  /** @type {ClockOffset | undefined} */
  #offset;
  /** Time of the last piece of the present connection; 0 before the response. */
  receivedAt = 0;
  /** @type {StreamState} */
  state = { phase: "connecting", since: Date.now() };

  /**
   * @param {() => string} makeUrl returns the URL of each request.
   * @param {object} options
   * @param {(events: ServerSentEvent[]) => void} options.onEvents is called with all events of one
   *   piece of the response.
   * @param {(state: StreamState) => void} options.onState
   * @param {Fetch} [options.fetch]
   */
  constructor(makeUrl, { onEvents, onState, fetch = globalThis.fetch.bind(globalThis) }) {
    this.#makeUrl = makeUrl;
    this.#onEvents = onEvents;
    this.#onState = onState;
    this.#fetch = fetch;
  }

  /** Connect, or connect anew, to another URL. */
  open() {
    this.#release();
    this.#connect();
  }

  /** Disconnect; `open` connects again. */
  disconnect() {
    this.#release();
    this.state = { phase: "connecting", since: Date.now(), offset: this.#offset };
  }

  /**
   * Reconnect if the connection is lost or, after a sleep, if the stream waits for a retry.
   *
   * @param {{afterSleep?: boolean}} [options]
   */
  check({ afterSleep = false } = {}) {
    if (this.#retryTimer !== null && afterSleep) this.open();
    else if (this.#abort && this.#isLost(afterSleep)) {
      this.#silentSince = Math.min(this.receivedAt, Date.now());
      this.open();
    }
  }

  /** @param {boolean} afterSleep */
  #isLost(afterSleep) {
    const now = Date.now();
    const wasSetBack = now < Math.max(this.receivedAt, this.#requestedAt);
    return wasSetBack || now > this.#deadline(afterSleep);
  }

  /** @param {boolean} afterSleep */
  #deadline(afterSleep) {
    if (!this.receivedAt) return this.#requestedAt + RESPONSE_TIMEOUT_MS;
    return this.receivedAt + (afterSleep ? SILENCE_LIMIT_AFTER_SLEEP_MS : SILENCE_LIMIT_MS);
  }

  #release() {
    clearTimeout(this.#retryTimer ?? undefined);
    this.#retryTimer = null;
    this.#abort?.abort();
    this.#abort = null;
  }

  async #connect() {
    const abort = (this.#abort = new AbortController());
    this.#requestedAt = Date.now();
    this.receivedAt = 0;
    this.#setState({ phase: "connecting" });
    // Its hearer may have disconnected the stream.
    if (this.#abort !== abort) return;
    try {
      const outcome = await this.#request(abort.signal);
      if (this.#abort !== abort) return;
      this.#abort = null;
      if (outcome.phase === "waiting") this.#scheduleRetry(outcome);
      else this.#setState(outcome);
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
   * @returns {Promise<PhaseChange>} `waiting` to connect again.
   */
  async #request(signal) {
    const headers = { Accept: "text/event-stream" };
    const response = await this.#fetch(this.#makeUrl(), { headers, signal, cache: "no-store" });
    signal.throwIfAborted();
    this.#offset = clockOffset(response.headers.get("Date"), this.#requestedAt, Date.now());
    if (response.status === 204) return { phase: "ended" };
    const type = response.headers.get("Content-Type") ?? "";
    if (response.status === 200 && response.body && type.startsWith("text/event-stream")) {
      return this.#read(response.body, signal);
    }
    if (isRetryable(response.status)) return { phase: "waiting" };
    const { status, code, message: detail } = await readError(response);
    if (status === 401) return { phase: "failed", status, code, detail };
    // Parts have errors of their own: what rejects the request may pass, as a proxy's error does.
    return { phase: "waiting", reason: detail };
  }

  /**
   * Read to the end of the connection.
   *
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortSignal} signal
   * @returns {Promise<PhaseChange>}
   */
  async #read(body, signal) {
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    this.receivedAt = Date.now();
    // Before the events: the state has the clock offset that their times need.
    this.#setState({ phase: "live" });
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return { phase: "waiting" };
      this.receivedAt = Date.now();
      const events = parser.feed(decoder.decode(value, { stream: true }));
      if (parser.retryMs !== null) this.#retryMs = parser.retryMs;
      if (!events.length) continue;
      for (const event of events) event.at = this.receivedAt;
      this.#attempts = 0;
      this.#onEvents(events);
    }
  }

  /**
   * Wait before the next attempt.
   *
   * @param {Partial<PhaseChange>} [reason]
   */
  #scheduleRetry(reason = {}) {
    const delayMs = backoffMs(this.#retryMs, this.#attempts);
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => this.open(), delayMs);
    this.#setState({ ...reason, phase: "waiting", retryAt: Date.now() + delayMs });
  }

  /** @param {PhaseChange} change */
  #setState(change) {
    // `since` is the time at which the connection was lost, through all attempts to reconnect.
    const isStillLost = isUnconnected(change) && isUnconnected(this.state);
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
 * Return the delay of a retry, with exponential backoff, and with jitter, so that pages do not
 * reconnect at the same moment.
 *
 * @param {number} firstMs delay of the first retry without jitter.
 * @param {number} attempts number of failed attempts before.
 */
export function backoffMs(firstMs, attempts) {
  const delayMs = Math.max(firstMs, Math.min(firstMs * 2 ** attempts, MAX_RETRY_MS));
  return delayMs * (0.8 + 0.4 * Math.random());
}

/**
 * Return true if a stream has no connection, and will have one.
 *
 * @param {PhaseChange} state
 */
export function isUnconnected({ phase }) {
  return phase === "connecting" || phase === "waiting";
}

/**
 * Return true if the same request may succeed later (RFC 9110 section 15).
 *
 * @param {number} status
 */
export function isRetryable(status) {
  return status === 200 || status === 429 || (status >= 500 && status !== 501);
}
