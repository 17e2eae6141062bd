import assert from "node:assert/strict";
import { test } from "node:test";

import { Job } from "../../../marianne_stream/web/static/js/model/job.js";
import { changedAt, Roster } from "../../../marianne_stream/web/static/js/model/roster.js";
import { lookOf } from "../../../marianne_stream/web/static/js/model/status.js";
import { Timeline } from "../../../marianne_stream/web/static/js/model/timeline.js";
import { ago, bytes, duration } from "../../../marianne_stream/web/static/js/model/times.js";

const event = (name, data, at = 1) => ({ event: name, id: "", data: JSON.stringify(data), at });

test("jobs stand by what needs attention, and old failures do not", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  const roster = new Roster();
  const job = (job_id, status, completed_at = null) => ({
    job_id,
    status,
    completed_at,
    submitted_at: job_id,
  });
  roster.take([
    event("roster", {
      complete: true,
      gone: [],
      jobs: [
        job("done", "completed"),
        job("run", "running"),
        job("old", "failed", "2026-11-20T12:00:00Z"),
        job("new", "failed", "2026-11-24T11:00:00Z"),
        job("wait", "queued"),
        job("rest", "paused_at_chain"),
        job("odd", "pondering"),
      ],
    }),
  ]);
  const order = roster.list({}, now).map(({ job_id }) => job_id);
  assert.deepEqual(order, ["new", "rest", "run", "wait", "odd", "old", "done"]);
  assert.deepEqual(
    roster.list({ look: "failed", name: "NE" }, now).map(({ job_id }) => job_id),
    ["new"],
  );
  assert.equal(roster.counts().failed, 2);
  assert.equal(lookOf("pondering"), "unknown");
});

test("a roster tells which jobs turned while one looked, and not those that were there", () => {
  const roster = new Roster();
  const jobs = (...list) => list.map(([job_id, status]) => ({ job_id, status }));
  const first = roster.take([
    event("roster", { complete: true, jobs: jobs(["a", "running"]), gone: [] }),
  ]);
  assert.deepEqual(first, []);
  const [turned] = roster.take([
    event("roster", { complete: false, jobs: jobs(["a", "failed"]), gone: [] }),
  ]);
  assert.equal(turned.before, "running");
  assert.equal(turned.job.status, "failed");
  const again = roster.take([
    event("roster", { complete: true, jobs: jobs(["a", "failed"], ["b", "queued"]), gone: [] }, 9),
  ]);
  assert.deepEqual(
    again.map(({ job }) => job.job_id),
    ["b"],
  );
  assert.equal(changedAt(roster.get("b")), 9);
  roster.take([event("roster", { complete: false, jobs: [], gone: ["a"] })]);
  assert.equal(roster.size, 1);
});

test("a job has its sheets by movement, and begins anew when it runs again", () => {
  const job = new Job();
  const status = (completed_sheets, at) =>
    event("job_status", { status: "running", completed_sheets, total_sheets: 3 }, at);
  job.take([
    status(0),
    event("job_sheets", {
      complete: true,
      sheets: [
        { number: 2, movement: 2 },
        { number: 1, movement: 1 },
      ],
    }),
  ]);
  job.take([
    status(1),
    event("job_sheets", {
      complete: false,
      sheets: [{ number: 1, movement: 1, status: "completed" }],
    }),
  ]);
  assert.deepEqual(
    job.movements.map(({ movement }) => movement),
    [1, 2],
  );
  assert.equal(job.sheet(1).status, "completed");
  job.take([event("job_finished", { final_status: "completed" })]);
  assert.equal(job.finished, "completed");
  job.take([event("job_deleted", {}), status(0, 4)]);
  assert.ok(!job.deleted);
  assert.equal(job.finished, null);
  assert.deepEqual(job.progress, [{ at: 4, completed: 0, total: 3 }]);
});

test("a timeline keeps the newest, tells of gaps, and begins anew where its cursor is unknown", () => {
  const timeline = new Timeline();
  const happened = (name, data) => event(name, { event: name, data, timestamp: 5, sheet_num: 1 });
  timeline.take([
    event("source", { live: true }),
    happened("job.started", { sheets: 4, list: [1] }),
    happened("sheet.failed", null),
  ]);
  assert.ok(timeline.live);
  assert.deepEqual(timeline.kinds, ["job", "sheet"]);
  assert.equal(timeline.list({ text: "SHEETS 4" })[0].name, "job.started");
  timeline.take([event("gap", { missed: 3, reason: "slow_reader" })]);
  assert.match(timeline.list()[0].summary, /3 events are missing/);
  timeline.take([event("gap", { missed: null, reason: "cursor_unknown" })]);
  assert.equal(timeline.entries.length, 1);
  timeline.take(Array.from({ length: 2000 }, () => happened("observer.file", {})));
  assert.ok(timeline.entries.length <= 1000);
});

test("times are told as people do", () => {
  assert.equal(duration(8_400), "8 s");
  assert.equal(duration(185_000), "3 min 05 s");
  assert.equal(duration(7_620_000), "2 h 07 min");
  assert.equal(duration(NaN), "");
  assert.equal(ago(0, 90_000), "1 min ago");
  assert.equal(bytes(512.6 * 1024 * 1024), "512.6 MB");
});
