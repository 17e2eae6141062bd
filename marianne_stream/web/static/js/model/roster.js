/** All jobs, from the events of the roster stream. It must not know how they are shown. */

import { attentionOf, isTerminal, lookOf } from "./status.js";

/** The jobs of one conductor. */
export class Roster {
  #jobs = new Map();
  /** Where state comes from, and since when by this machine's clock; null before it is known. */
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
    for (const { event, data, at = Date.now() } of events) {
      if (event === "source") this.source = { ...JSON.parse(data), since: at };
      else if (event === "roster") this.#takeRoster(JSON.parse(data), turned, at);
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
   */
  list({ look = "", name = "", order = "attention" } = {}, now = Date.now()) {
    const text = name.toLowerCase();
    const jobs = [...this.#jobs.values()].filter(
      (job) => (!look || lookOf(job.status) === look) && job.job_id.toLowerCase().includes(text),
    );
    return jobs.sort(ORDERS[order](now));
  }

  #takeRoster({ complete, jobs, gone }, turned, now) {
    const known = this.known ? new Map(this.#jobs) : null;
    if (complete) this.#jobs.clear();
    for (const job of jobs) {
      const before = known?.get(job.job_id);
      const same = before && isSame(before, job);
      this.#jobs.set(job.job_id, { ...job, seen_at: same ? before.seen_at : known ? now : null });
      if (known && before?.status !== job.status) turned.push({ job, before: before?.status });
    }
    for (const jobId of gone) this.#jobs.delete(jobId);
    this.known = true;
  }
}

/** When a job changed last, as far as is known, in epoch milliseconds; NaN where it is not. */
export function changedAt(job) {
  const told = [job.updated_at, job.completed_at, job.started_at, job.submitted_at]
    .map((text) => Date.parse(text ?? ""))
    .filter((at) => !Number.isNaN(at));
  if (job.seen_at && !isTerminal(job.status)) told.push(job.seen_at);
  return told.length ? Math.max(...told) : NaN;
}

function isSame(one, other) {
  const { seen_at: _, ...rest } = one;
  return JSON.stringify(rest) === JSON.stringify(other);
}

const newest = (a, b) => (b.submitted_at ?? "").localeCompare(a.submitted_at ?? "");
const byName = (a, b) => a.job_id.localeCompare(b.job_id);

const ORDERS = {
  attention: (now) => (a, b) =>
    attentionOf(a, now) - attentionOf(b, now) || newest(a, b) || byName(a, b),
  newest: () => (a, b) => newest(a, b) || byName(a, b),
  name: () => byName,
};
