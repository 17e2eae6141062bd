import assert from "node:assert/strict";
import { test } from "node:test";

import { Job } from "../../../marianne_stream/web/static/js/model/job.js";
import { timeOf, dayBegun } from "../../../marianne_stream/web/static/js/model/line_time.js";
import { Roster } from "../../../marianne_stream/web/static/js/model/roster.js";
import {
  changeText,
  durationOf,
  lastChangeOf,
} from "../../../marianne_stream/web/static/js/model/run_times.js";
import { ServerClock } from "../../../marianne_stream/web/static/js/model/server_clock.js";
import { lookOf } from "../../../marianne_stream/web/static/js/model/status.js";
import { Timeline } from "../../../marianne_stream/web/static/js/model/timeline.js";
import { ago, bytes, duration, Times } from "../../../marianne_stream/web/static/js/model/times.js";

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
      removed: [],
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
    event("roster", { complete: true, jobs: jobs(["a", "running"]), removed: [] }),
  ]);
  assert.deepEqual(first, []);
  const [turned] = roster.take([
    event("roster", { complete: false, jobs: jobs(["a", "failed"]), removed: [] }),
  ]);
  assert.equal(turned.before, "running");
  assert.equal(turned.job.status, "failed");
  const again = roster.take([
    event("roster", { complete: true, jobs: jobs(["a", "failed"], ["b", "queued"]), removed: [] }),
  ]);
  assert.deepEqual(
    again.map(({ job }) => job.job_id),
    ["b"],
  );
  roster.take([event("roster", { complete: false, jobs: [], removed: ["a"] })]);
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

test("timeline keeps the newest events and begins anew where its cursor is unknown", () => {
  const timeline = new Timeline();
  const happened = (name, data) => event(name, { event: name, data, timestamp: 5, sheet_num: 1 });
  timeline.take([
    event("source", { live: true }),
    happened("job.started", { sheets: 4, list: [1] }),
    happened("sheet.failed", null),
  ]);
  assert.equal(timeline.list({ text: "SHEETS 4" })[0].name, "job.started");
  timeline.take([event("gap", { missed: 3, reason: "slow_consumer" })]);
  assert.match(timeline.list()[0].summary, /3 events are missing/);
  timeline.take([event("gap", { missed: null, reason: "cursor_expired" })]);
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

const at = (text) => Date.parse(text);

/** A server's clock that is an hour behind this machine's. */
function clockBehind() {
  const clock = new ServerClock();
  clock.take({ low: -3_600_500, high: -3_599_500 });
  return clock;
}

test("server clock is this machine's plus an offset that each answer narrows", () => {
  const clock = new ServerClock();
  assert.ok(Number.isNaN(clock.at(0)));
  clock.take({ low: 1_000, high: 3_000 });
  assert.equal(clock.at(0), 2_000);
  clock.take({ low: 2_000, high: 4_000 });
  assert.equal(clock.at(0), 2_500);
  // One of the clocks was set.
  clock.take({ low: -500, high: 500 });
  assert.equal(clock.at(7), 7);
});

test("server clock stands still while the page is not live and says nothing before it was", () => {
  const clock = clockBehind();
  assert.ok(Number.isNaN(clock.knownUntil()));
  clock.setLive(true);
  assert.ok(Math.abs(clock.knownUntil() - (Date.now() - 3_600_000)) < 1_000);
  clock.setLive(false);
  const stopped = clock.knownUntil();
  clock.setLive(false);
  assert.equal(clock.knownUntil(), stopped);
});

test("duration of a running job is counted by the server's clock", () => {
  const clock = clockBehind();
  const job = { status: "running", started_at: new Date(Date.now() - 3_605_300).toISOString() };
  assert.equal(durationOf(job, clock), "");
  clock.setLive(true);
  assert.equal(durationOf(job, clock), "5 s");
});

test("last change is the server's progress of a running job and the end of one that is over", () => {
  const clock = clockBehind();
  clock.setLive(true);
  const ago9s = new Date(Date.now() - 3_609_300).toISOString();
  const ended = { status: "failed", completed_at: ago9s, updated_at: "2030-01-01T00:00:00Z" };
  assert.equal(lastChangeOf(ended).label, "Ended");
  const running = { status: "running", started_at: ago9s, updated_at: ago9s };
  assert.equal(lastChangeOf(running).label, "Changed");
  const times = new Times(clock);
  const said = (job) => changeText(lastChangeOf(job), clock, times);
  assert.equal(said(ended), "9 s ago");
  assert.equal(said(running), "");
  const progress = { ...running, last_progress_at: ago9s };
  assert.equal(said(progress), "9 s ago");
  clock.setLive(false);
  assert.equal(said(ended), "9 s ago");
  assert.equal(said(progress), times.moment(at(ago9s)));
});

test("times are of 24 hours and in one zone", () => {
  const times = new Times({ now: () => at("2026-11-24T12:00:00Z") });
  times.zone = "utc";
  assert.equal(times.moment(at("2026-11-24T00:05:00Z")), "00:05");
  assert.equal(times.moment(at("2026-11-23T23:05:00Z")), "23 Nov, 23:05");
  assert.equal(times.whole(at("2026-11-23T23:05:09Z")), "23 Nov 2026, 23:05:09 UTC");
  assert.equal(times.clock(NaN), "");
});

test("line's time is shown in the view's zone, and one without a zone as it is written", () => {
  const times = new Times({ now: () => at("2026-11-24T12:00:00Z") });
  times.zone = "utc";
  const shown = (loggedAt, time = "") => timeOf({ loggedAt, time }, times);
  assert.equal(shown("2026-11-24T00:30:00.5+05:30").text, "19:00:00.500");
  assert.equal(shown("2026-11-24T00:30:00.5+0530").day, "23 Nov 2026");
  assert.deepEqual(
    [shown("[2026-11-24 03:00:00,119]").text, shown("2026-11-24 03:00:00").kind],
    ["03:00:00.119", "unzoned"],
  );
  assert.equal(shown("", "2026-11-24T03:00:00Z").kind, "received");
  assert.equal(shown("2026-99-99T03:00:00", "").kind, "");
});

test("a day begins where it is not that of the lines before or today", () => {
  const days = ["", "a", "", "a", "b", "", "today"];
  const begun = days.map((_, index) => dayBegun((other) => days[other], index, "today"));
  assert.deepEqual(begun, ["", "a", "", "", "b", "", "today"]);
  assert.equal(
    dayBegun(() => "today", 0, "today"),
    "",
  );
});
