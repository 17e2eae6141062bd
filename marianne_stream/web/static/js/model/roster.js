/** All jobs, from the events of the roster stream. It must not know how they are shown. */

import { attentionOf, lookOf } from "./status.js";

/** The jobs of one conductor. */
export class Roster {
  #jobs = new Map();
  /** Where state comes from: a `source` event's data; null while it is not known. */
  source = null;
  /** Whether the jobs are known. */
  known = false;

  /**
   * Takes events in.
   *
   * @returns {{job: object, before: string}[]} the jobs whose status changed while one looked.
   */
  take(events) {
    const turned = [];
    for (const { event, data } of events) {
      if (event === "source") this.source = JSON.parse(data);
      else if (event === "roster") this.#takeRoster(JSON.parse(data), turned);
    }
    return turned;
  }

  get size() {
    return this.#jobs.size;
  }

  /** All jobs, in no order. */
  all() {
    return [...this.#jobs.values()];
  }

  get(jobId) {
    return this.#jobs.get(jobId);
  }

  /** How many jobs look each way. */
  counts() {
    const counts = {};
    for (const { status } of this.#jobs.values()) {
      counts[lookOf(status)] = (counts[lookOf(status)] ?? 0) + 1;
    }
    return counts;
  }

  /**
   * The jobs that are wanted, in order.
   *
   * @param {{look?: string, name?: string, order?: "attention" | "newest" | "name"}} wanted
   * @param {number} now by the server's clock.
   */
  list({ look = "", name = "", order = "attention" } = {}, now) {
    const text = name.toLowerCase();
    const jobs = [...this.#jobs.values()].filter(
      (job) => (!look || lookOf(job.status) === look) && job.job_id.toLowerCase().includes(text),
    );
    return jobs.sort(ORDERS[order](now));
  }

  #takeRoster({ complete, jobs, removed }, turned) {
    const known = this.known ? new Map(this.#jobs) : null;
    if (complete) this.#jobs.clear();
    for (const job of jobs) {
      const before = known?.get(job.job_id);
      this.#jobs.set(job.job_id, job);
      if (known && before?.status !== job.status) turned.push({ job, before: before?.status });
    }
    for (const jobId of removed) this.#jobs.delete(jobId);
    this.known = true;
  }
}

const newest = (a, b) => (b.submitted_at ?? "").localeCompare(a.submitted_at ?? "");
const byName = (a, b) => a.job_id.localeCompare(b.job_id);

const ORDERS = {
  attention: (now) => (a, b) =>
    attentionOf(a, now) - attentionOf(b, now) || newest(a, b) || byName(a, b),
  newest: () => (a, b) => newest(a, b) || byName(a, b),
  name: () => byName,
};
