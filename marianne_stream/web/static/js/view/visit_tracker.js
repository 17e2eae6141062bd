/** Reader's visit in this browser, and the summary of what happened before it. */

import { isTransient } from "../model/request_errors.js";
import { continueVisit, summaryUntil } from "../model/visits.js";
import { ROOT_PATH } from "../root_path.js";
import { ApiError, getJson, withQuery } from "../wire/api.js";
import { load, save, serverKey } from "./local_storage.js";

/** @typedef {import("../model/visits.js").Summary} Summary */
/** @typedef {import("../model/visits.js").Visit} Visit */

const KEY = serverKey("marianne-stream visit");

const CHECK_MS = 1_000;
/** Interval at which the end of the visit is saved, and a summary that failed is requested again. */
const SAVE_MS = 30_000;

export class VisitTracker {
  #clock;
  #savedAt = -Infinity;
  /** @type {number | null} end of the last visit, of which the summary was requested. */
  #requested = null;
  /** @type {Visit | null} */
  visit = null;
  /** @type {Summary | null} summary of what happened between the last visit and this one. */
  summary = null;

  /** @param {import("../model/server_clock.js").ServerClock} clock */
  constructor(clock) {
    this.#clock = clock;
    setInterval(() => this.#check(), CHECK_MS);
  }

  /** Hide the summary, also in the windows that are opened later. */
  dismiss() {
    const now = this.#clock.now();
    this.#requested = null;
    this.summary = null;
    save(KEY, { since: null, began: now, at: now });
  }

  /** Continue the visit while the page is live and visible, whatever it shows. */
  #check() {
    const now = this.#clock.now();
    if (!this.#clock.isLive || document.visibilityState !== "visible") return;
    if (now - this.#savedAt < SAVE_MS) return;
    this.#savedAt = now;
    this.visit = continueVisit(load(KEY, null), now);
    save(KEY, this.visit);
    // Again after the first interval: an end may be recorded a moment after the visit began.
    const isFirst = now - this.visit.began < 2 * SAVE_MS;
    if (isFirst || this.visit.since !== this.#requested) this.#load(this.visit);
  }

  /** @param {Visit} visit */
  async #load({ since, began }) {
    if (since !== this.#requested) this.summary = null;
    this.#requested = since;
    if (since === null) return;
    const path = withQuery(`${ROOT_PATH}/api/summary`, { since: new Date(since).toISOString() });
    try {
      const summary = summaryUntil(await getJson(path), began);
      const isChanged = JSON.stringify(summary) !== JSON.stringify(this.summary);
      if (this.#requested === since && isChanged) this.summary = summary;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (isTransient(error) && this.#requested === since) this.#requested = null;
    }
  }
}
