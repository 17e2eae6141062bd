import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ALL_JOBS,
  notifiableState,
  NotifyRules,
} from "../../../marianne_stream/web/static/js/model/notify_rules.js";
import {
  continueVisit,
  summaryHeadline,
  summaryLines,
  summaryUntil,
} from "../../../marianne_stream/web/static/js/model/visits.js";

const HOUR = 3_600_000;

test("visit goes on over short absences, and a new one begins after a long one", () => {
  const now = Date.UTC(2026, 10, 24, 12);
  const first = { since: null, began: now, at: now };
  assert.deepEqual(continueVisit(null, now), first);
  assert.deepEqual(continueVisit({ at: "damaged" }, now), first);
  assert.deepEqual(continueVisit(first, now + 60_000), { ...first, at: now + 60_000 });
  const second = continueVisit(first, now + HOUR);
  assert.deepEqual(second, { since: now, began: now + HOUR, at: now + HOUR });
  const reloaded = continueVisit(second, now + HOUR + 5_000);
  assert.deepEqual(reloaded, { ...second, at: now + HOUR + 5_000 });
});

test("summary names failures first, a line for each job, and says if nothing is known", () => {
  const empty = { ended: [], stalled: [], complete: true };
  assert.equal(summaryHeadline(empty), "nothing ended");
  assert.equal(summaryHeadline({ ...empty, complete: false }), "nothing is known to have ended");
  assert.deepEqual(summaryLines(empty), []);
  const summary = {
    ...empty,
    ended: [
      { job_id: "a", status: "completed", duration_s: 61.2, completed_at: "2026-11-24T12:05:00Z" },
      { job_id: "b", status: "failed", error_message: "Exit code 1\nmore" },
      { job_id: "a", status: "failed" },
      { job_id: "a", status: "completed" },
    ],
    stalled: [
      { job_id: "d", sheet: 3, at: "2026-11-24T12:01:00Z" },
      { job_id: "d", sheet: 2, at: "2026-11-24T12:00:00Z" },
    ],
  };
  assert.equal(summaryHeadline(summary), "2 failed, 2 completed, 2 sheets stalled");
  const lines = summaryLines(summary);
  assert.deepEqual(
    lines.map(({ jobId, text }) => `${jobId}: ${text}`),
    [
      "b: failed: Exit code 1",
      "d: sheets 2, 3 showed no sign of life",
      "a: completed after 1 min 01 s (before: 1 failed, 1 completed)",
    ],
  );
  assert.deepEqual(
    lines.map(({ at }) => at),
    [NaN, Date.UTC(2026, 10, 24, 12, 1), Date.UTC(2026, 10, 24, 12, 5)],
  );
});

test("summary leaves out what happened after the visit began", () => {
  const summary = {
    ended: [
      { job_id: "late", status: "failed", completed_at: "2026-11-24T12:05:00Z" },
      { job_id: "early", status: "failed", completed_at: "2026-11-24T11:59:00Z" },
      { job_id: "unknown", status: "failed" },
    ],
    stalled: [{ job_id: "late", sheet: 1, at: "2026-11-24T12:05:00Z" }],
    complete: true,
  };
  const { ended, stalled } = summaryUntil(summary, Date.UTC(2026, 10, 24, 12));
  assert.deepEqual(
    ended.map(({ job_id: id }) => id),
    ["early", "unknown"],
  );
  assert.deepEqual(stalled, []);
});

test("state to be notified of tells a wait for a person from a pause", () => {
  const person = { code: "person" };
  assert.equal(notifiableState({ status: "failed" }), "failed");
  assert.equal(notifiableState({ status: "cancelled" }), "ended");
  assert.equal(notifiableState({ status: "paused" }), "paused");
  assert.equal(notifiableState({ status: "paused_at_chain" }), "person");
  assert.equal(notifiableState({ status: "running", waiting: person }), "person");
  assert.equal(notifiableState({ status: "running" }), null);
});

test("rule of a job notifies of its change, and ends with the job", () => {
  const rules = new NotifyRules();
  rules.set("a", "failed", true);
  rules.set("a", "person", true);
  const running = { job_id: "a", status: "running" };
  const held = { ...running, waiting: { code: "person" } };
  assert.equal(rules.take(running, running), null);
  assert.equal(rules.take(held, running), "person");
  assert.equal(rules.take(held, held), null);
  assert.equal(
    rules.take({ job_id: "b", status: "failed" }, { job_id: "b", status: "running" }),
    null,
  );
  assert.equal(rules.take({ job_id: "a", status: "failed" }, held), "failed");
  assert.equal(rules.hasJob("a"), false);
  assert.equal(rules.take({ job_id: "a", status: "failed" }, running), null);
});

test("rule of a job notifies also of what happened while no page was open", () => {
  const rules = new NotifyRules();
  rules.set("a", "ended", true, { job_id: "a", status: "running" });
  rules.set(ALL_JOBS, "ended", true);
  assert.equal(rules.take({ job_id: "a", status: "completed" }), "ended");
  assert.equal(rules.hasJob("a"), false);
  assert.equal(rules.take({ job_id: "b", status: "completed" }), null);
});

test("rule of a job does not notify twice of the same state, however often a page loads", () => {
  const paused = { job_id: "a", status: "paused", submitted_at: "2026-11-24T12:00:00Z" };
  const rules = new NotifyRules();
  rules.set("a", "paused", true, { ...paused, status: "running" });
  assert.equal(rules.take(paused), "paused");
  const loaded = new NotifyRules(JSON.parse(JSON.stringify(rules)));
  assert.equal(loaded.take(paused), null);
  assert.equal(loaded.take({ ...paused, status: "running" }), null);
  assert.equal(loaded.take(paused), "paused");
});

test("end of a known failure that is recorded while no page is open is no failure", () => {
  const failed = { job_id: "a", status: "failed", submitted_at: "2026-11-24T12:00:00Z" };
  const rules = new NotifyRules();
  rules.set("a", "failed", true, failed);
  const loaded = new NotifyRules(JSON.parse(JSON.stringify(rules)));
  assert.equal(loaded.take({ ...failed, completed_at: "2026-11-24T12:05:00Z" }), null);
  assert.equal(loaded.hasJob("a"), true);
  assert.equal(loaded.take({ ...failed, completed_at: "2026-11-24T12:09:00Z" }), "failed");
});

test("rule that is made for a failed job waits for the next failure", () => {
  const failed = { job_id: "a", status: "failed", submitted_at: "2026-11-24T12:00:00Z" };
  const ended = { ...failed, completed_at: "2026-11-24T12:05:00Z" };
  const rules = new NotifyRules();
  rules.set("a", "failed", true, failed);
  assert.equal(rules.take(failed), null);
  // The end of the same failure has become known.
  assert.equal(rules.take(ended, failed), null);
  assert.equal(rules.hasJob("a"), true);
  const loaded = new NotifyRules(JSON.parse(JSON.stringify(rules)));
  assert.equal(loaded.take(ended), null);
  assert.equal(loaded.take({ ...failed, completed_at: "2026-11-24T12:09:00Z" }), "failed");
  assert.equal(loaded.hasJob("a"), false);
});

test("rules for all jobs notify of each change, and are kept", () => {
  const rules = new NotifyRules();
  rules.set(ALL_JOBS, "paused", true);
  rules.set("a", "failed", true);
  const loaded = new NotifyRules(JSON.parse(JSON.stringify(rules)));
  assert.equal(loaded.hasAny, true);
  assert.equal(loaded.has("a", "failed"), true);
  const paused = { job_id: "b", status: "paused" };
  assert.equal(loaded.take(paused, { job_id: "b", status: "running" }), "paused");
  assert.equal(loaded.take({ job_id: "b", status: "failed" }, paused), null);
  loaded.set(ALL_JOBS, "paused", false);
  assert.equal(loaded.take(paused, { job_id: "b", status: "running" }), null);
  for (const damaged of [3, "x", [], { all: 1, jobs: "x" }, { jobs: [1, ["a", "failed"]] }]) {
    assert.equal(new NotifyRules(damaged).hasAny, false);
  }
});
