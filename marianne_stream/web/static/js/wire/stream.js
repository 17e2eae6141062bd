/**
 * One stream that is kept open: it connects, resumes, waits, and notices a silent connection.
 * EventSource does less: it cannot see comments, so it cannot tell silence from a lost connection,
 * and it gives up for ever on answers that may pass. It must not know what the events mean.
 */

import { EventParser } from "./event_parser.js";

/** The server is silent for 15 s at most: three times that is a connection that is lost. */
const SILENCE_MS = 45_000;

/** After a sleep, one that has been silent for so long is not waited for. */
const SILENCE_AFTER_SLEEP_MS = 18_000;

const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 30_000;

/** A request that has no answer by then was sent into a connection that nobody has any more. */
const ANSWER_MS = 15_000;

/** A stream that is open for so long is one, though it has nothing to say yet. */
const LIVE_MS = 1_000;

/** Behind these the server ends the stream, and there is nothing to come back for. */
const LAST_EVENTS = new Set(["job_finished", "job_deleted", "log_complete"]);

/**
 * How a stream is: `connecting`, `live`, `waiting` (until `retryAt`), `paused` (others go first),
 * `ended` (nothing more will come), `failed` (for good: `status`, `code` and `detail` say why).
 * Times are epoch milliseconds. `offset` is how far the server's clock is ahead, once there was an
 * answer.
 *
 * @typedef {{phase: string, since: number, retryAt?: number, status?: number, code?: string,
 *   detail?: string, offset?: {low: number, high: number}}} StreamState
 */

/** A stream, from `open` to `close`. Its events bear `at`, when they came. */
export class Stream {
  #url;
  #onEvents;
  #onState;
  #fetch;
  #lastEventId = "";
  #retryMs = FIRST_RETRY_MS;
  #attempts = 0;
  #abort = null;
  #timer = null;
  #heardAt = 0;
  #askedAt = 0;
  /** When a connection that has fallen silent was heard last; 0 for none. */
  #lostAt = 0;
  #offset;
  #over = false;

  /**
   * @param {string} url
   * @param {object} to
   * @param {(events: object[]) => void} to.onEvents is given the events of one piece of text.
   * @param {(state: StreamState) => void} to.onState
   * @param {typeof fetch} [to.fetch]
   */
  constructor(url, { onEvents, onState, fetch = globalThis.fetch.bind(globalThis) }) {
    this.#url = url;
    this.#onEvents = onEvents;
    this.#onState = onState;
    this.#fetch = fetch;
    this.state = { phase: "connecting", since: Date.now() };
  }

  /** Connects, unless it is open or over. */
  open() {
    if (this.#abort || this.#timer !== null || this.#over) return;
    this.#connect();
  }

  /** Hangs up; `open` goes on from there. */
  pause() {
    if (this.#over) return;
    this.#hangUp();
    this.#say({ phase: "paused" });
  }

  /** Hangs up, for good. */
  close() {
    this.#over = true;
    this.#hangUp();
  }

  /** Looks whether it is lost: after a sleep, one that waits tries at once. */
  check({ afterSleep = false } = {}) {
    if (this.#timer !== null && afterSleep) this.#again();
    else if (this.#abort && this.#isLost(afterSleep)) {
      this.#lostAt = Math.min(this.#heardAt, Date.now());
      this.#again();
    }
  }

  #isLost(afterSleep) {
    const now = Date.now();
    // Heard in the future: the clock was set back.
    return now > this.#deadline(afterSleep) || now < Math.max(this.#heardAt, this.#askedAt);
  }

  /** When it is given up, if nothing more is heard. */
  #deadline(afterSleep) {
    if (!this.#heardAt) return this.#askedAt + ANSWER_MS;
    return this.#heardAt + (afterSleep ? SILENCE_AFTER_SLEEP_MS : SILENCE_MS);
  }

  #hangUp() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#abort?.abort();
    this.#abort = null;
  }

  #again() {
    this.#hangUp();
    this.#connect();
  }

  async #connect() {
    const abort = (this.#abort = new AbortController());
    this.#askedAt = Date.now();
    this.#heardAt = 0;
    this.#say({ phase: "connecting" });
    try {
      const outcome = await this.#attempt(abort.signal);
      if (this.#abort !== abort) return;
      this.#abort = null;
      if (outcome) this.#finish(outcome);
      else this.#wait();
    } catch {
      // Whatever it was, the connection is gone: `fetch` and its body tell no more than that.
      if (this.#abort !== abort) return;
      this.#abort = null;
      this.#wait();
    }
  }

  /** One connection, to its end. Gives how it ended where it is not to be repeated. */
  async #attempt(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.#lastEventId) headers["Last-Event-ID"] = this.#lastEventId;
    const answer = await this.#fetch(this.#url, { headers, signal, cache: "no-store" });
    this.#offset = offsetOf(answer.headers.get("Date"), this.#askedAt, Date.now());
    if (answer.status === 204) return { phase: "ended" };
    const type = answer.headers.get("Content-Type") ?? "";
    if (answer.status === 200 && type.startsWith("text/event-stream")) {
      return this.#read(answer.body, signal);
    }
    if (mayPass(answer.status)) return null;
    return { phase: "failed", status: answer.status, ...(await reasonOf(answer)) };
  }

  async #read(body, signal) {
    const parser = new EventParser(this.#lastEventId);
    const decoder = new TextDecoder();
    const reader = body.getReader();
    this.#heardAt = Date.now();
    const timer = setTimeout(() => this.#isLive(signal), LIVE_MS);
    signal.addEventListener("abort", () => clearTimeout(timer));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) {
        clearTimeout(timer);
        return null;
      }
      this.#heardAt = Date.now();
      const events = parser.feed(decoder.decode(value, { stream: true }));
      this.#lastEventId = parser.lastEventId;
      if (parser.retryMs !== null) this.#retryMs = parser.retryMs;
      if (events.length) {
        for (const event of events) event.at = this.#heardAt;
        this.#attempts = 0;
        // First, since it has the offset by which the events' times are read.
        this.#isLive(signal);
        this.#onEvents(events);
        if (events.some(({ event }) => LAST_EVENTS.has(event))) {
          clearTimeout(timer);
          return { phase: "ended" };
        }
      }
    }
  }

  #isLive(signal) {
    if (!signal.aborted && this.state.phase === "connecting") this.#say({ phase: "live" });
  }

  #finish(outcome) {
    this.#over = true;
    this.#say(outcome);
  }

  #wait() {
    const grown = Math.min(this.#retryMs * 2 ** this.#attempts, LONGEST_RETRY_MS);
    // No two pages at the same moment.
    const delayMs = Math.max(this.#retryMs, grown) * (0.8 + 0.4 * Math.random());
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#again(), delayMs);
    this.#say({ phase: "waiting", retryAt: Date.now() + delayMs });
  }

  #say(state) {
    // Since when it is not what it should be is what a person wants to know.
    const lost = new Set(["connecting", "waiting"]);
    const goesOn = lost.has(state.phase) && lost.has(this.state.phase);
    this.state = {
      since: goesOn ? this.state.since : this.#lostAt || Date.now(),
      offset: this.#offset,
      ...state,
    };
    this.#lostAt = 0;
    this.#onState(this.state);
  }
}

/**
 * How far the server's clock is ahead of this one, in milliseconds, as an answer tells.
 *
 * @param {string | null} date the answer's `Date`, cut to the second (RFC 9110 section 5.6.7).
 * @param {number} askedAt when the request was sent, by this machine's clock.
 * @param {number} answeredAt when the answer came.
 * @returns {{low: number, high: number}} bounds; without a valid date, the clocks are taken for equal.
 */
export function offsetOf(date, askedAt, answeredAt) {
  const at = Date.parse(date ?? "");
  if (Number.isNaN(at)) return { low: 0, high: 0 };
  return { low: at - answeredAt, high: at + 1000 - askedAt };
}

/** Whether the same request may be answered otherwise later (RFC 9110 section 15). */
function mayPass(status) {
  return status === 200 || status === 429 || status >= 500;
}

async function reasonOf(answer) {
  try {
    const { code, detail } = await answer.json();
    return { code, detail };
  } catch {
    return { code: "", detail: `The server answered ${answer.status}.` };
  }
}
