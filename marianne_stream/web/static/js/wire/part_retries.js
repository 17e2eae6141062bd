/**
 * Retries of the parts of a combined stream after temporary errors. Each part waits for its own time,
 * and longer after each error that follows another.
 */

import { backoffMs, FIRST_RETRY_MS } from "./event_stream.js";

/** @typedef {import("./stream_part.js").StreamPart} StreamPart */

/** A part that has been live for this long begins anew with the shortest delay after an error. */
const STABLE_MS = 30_000;

export class PartRetries {
  #onDue;
  /** @type {Map<StreamPart, number>} number of errors that followed each other. */
  #errors = new Map();
  /** @type {Map<StreamPart, number>} time of the next attempt of each part that waits for one. */
  #times = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(parts: StreamPart[]) => void} onDue is called with the parts to request once more. */
  constructor(onDue) {
    this.#onDue = onDue;
  }

  /** @param {StreamPart} part */
  isWaiting(part) {
    return this.#times.has(part);
  }

  /**
   * Let a part wait after an error; return the time of its next attempt, epoch milliseconds.
   *
   * @param {StreamPart} part
   */
  add(part) {
    const now = Date.now();
    const { phase, since } = part.state;
    const isStable = phase === "live" && now - since > STABLE_MS;
    const errors = isStable ? 0 : (this.#errors.get(part) ?? 0);
    const retryAt = now + backoffMs(FIRST_RETRY_MS, errors);
    this.#errors.set(part, errors + 1);
    this.#times.set(part, retryAt);
    this.#schedule();
    return retryAt;
  }

  /** @param {StreamPart} part that has left the stream. */
  delete(part) {
    this.#errors.delete(part);
    if (this.#times.delete(part)) this.#schedule();
  }

  /** Let no part wait any longer. */
  retryNow() {
    this.#retry(Infinity);
  }

  close() {
    clearTimeout(this.#timer);
  }

  /** Set the timer to the first part to retry. */
  #schedule() {
    clearTimeout(this.#timer);
    if (!this.#times.size) return;
    const first = Math.min(...this.#times.values());
    this.#timer = setTimeout(() => this.#retry(first), first - Date.now());
  }

  /** @param {number} until parts to retry up to this time. */
  #retry(until) {
    const due = [...this.#times.keys()].filter((part) => Number(this.#times.get(part)) <= until);
    if (!due.length) return;
    for (const part of due) this.#times.delete(part);
    this.#schedule();
    this.#onDue(due);
  }
}
