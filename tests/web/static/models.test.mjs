import assert from "node:assert/strict";
import { test } from "node:test";

import { Job } from "../../../marianne_stream/web/static/js/model/job.js";
import {
  lineTime,
  dayHeading,
} from "../../../marianne_stream/web/static/js/model/log_line_time.js";
import { Roster } from "../../../marianne_stream/web/static/js/model/roster.js";
import {
  formatLastChange,
  jobDuration,
  lastChange,
  waitedTime,
} from "../../../marianne_stream/web/static/js/model/job_times.js";
import { ServerClock } from "../../../marianne_stream/web/static/js/model/server_clock.js";
import { statusTone } from "../../../marianne_stream/web/static/js/model/status.js";
import { summarize, Timeline } from "../../../marianne_stream/web/static/js/model/timeline.js";
import { Announcer } from "../../../marianne_stream/web/static/js/view/announcer.js";
import {
  formatAge,
  formatBytes,
  formatDuration,
  formatShortDuration,
  TimeFormat,
} from "../../../marianne_stream/web/static/js/model/time_format.js";

/**
 * @param {string} name
 * @param {object} data
 * @param {number} [at]
 */
function makeEvent(name, data, at = 1) {
  return { event: name, id: "", data: JSON.stringify(data), at };
}

test("roster filters jobs by tone and name", () => {
  const roster = new Roster();
  const job = (/** @type {string} */ job_id, /** @type {string} */ status) => ({ job_id, status });
  const jobs = [job("done", "completed"), job("old", "failed"), job("new", "failed")];
  roster.applyEvents([makeEvent("roster", { complete: true, removed: [], jobs })]);
  const found = roster.list({ tone: "failed", name: "NE" }).map(({ job_id }) => job_id);
  assert.deepEqual(found, ["new"]);
  assert.equal(roster.list({}).length, 3);
  assert.equal(roster.countByTone().failed, 2);
  assert.equal(statusTone("pondering"), "unknown");
});

test("roster returns changes of status after the first roster only", () => {
  const roster = new Roster();
  const jobs = (/** @type {[string, string][]} */ ...list) =>
    list.map(([job_id, status]) => ({ job_id, status }));
  const first = roster.applyEvents([
    makeEvent("roster", { complete: true, jobs: jobs(["a", "running"]), removed: [] }),
  ]);
  assert.deepEqual(first, []);
  const [change] = roster.applyEvents([
    makeEvent("roster", { complete: false, jobs: jobs(["a", "failed"]), removed: [] }),
  ]);
  assert.equal(change.previous?.status, "running");
  assert.equal(change.job.status, "failed");
  const again = roster.applyEvents([
    makeEvent("roster", {
      complete: true,
      jobs: jobs(["a", "failed"], ["b", "queued"]),
      removed: [],
    }),
  ]);
  assert.deepEqual(
    again.map(({ job }) => job.job_id),
    ["b"],
  );
  roster.applyEvents([makeEvent("roster", { complete: false, jobs: [], removed: ["a"] })]);
  assert.equal(roster.size, 1);
});

test("job groups sheets by movement, and goes on after its end", () => {
  const job = new Job();
  const status = (/** @type {number} */ completed_sheets) =>
    makeEvent("job_status", { status: "running", completed_sheets, total_sheets: 3 });
  job.applyEvents([
    status(0),
    makeEvent("job_sheets", {
      complete: true,
      sheets: [
        { number: 2, movement: 2 },
        { number: 1, movement: 1 },
      ],
    }),
  ]);
  job.applyEvents([
    status(1),
    makeEvent("job_sheets", {
      complete: false,
      sheets: [{ number: 1, movement: 1, status: "completed" }],
    }),
  ]);
  assert.deepEqual(
    job.movements.map(({ movement }) => movement),
    [1, 2],
  );
  assert.equal(job.getSheet(1)?.status, "completed");
  job.applyEvents([makeEvent("job_finished", { final_status: "completed" })]);
  assert.equal(job.finalStatus, "completed");
  job.applyEvents([makeEvent("job_deleted", {}, 7)]);
  assert.equal(job.knownUntil(clockBehind()), 7);
  assert.ok(job.isOver && !job.goesOn);
  job.applyEvents([status(0)]);
  assert.ok(!job.isDeleted);
  assert.equal(job.finalStatus, null);
});

test("timeline keeps the newest events and is cleared by an unknown cursor", () => {
  const timeline = new Timeline();
  /**
   * @param {string} name
   * @param {object | null} data
   */
  const happened = (name, data) =>
    makeEvent(name, { event: name, data, timestamp: 5, sheet_num: 1 });
  timeline.applyEvents([
    makeEvent("source", { live: true }),
    happened("job.started", { sheets: 4, list: [1] }),
    happened("sheet.failed", null),
  ]);
  assert.equal(timeline.list({ text: "SHEETS 4" })[0].name, "job.started");
  timeline.applyEvents([makeEvent("gap", { missed: 3, reason: "slow_consumer" })]);
  assert.deepEqual(
    [timeline.list()[0].words, timeline.list()[0].summary],
    ["Events are missing", "3 events"],
  );
  const gap = makeEvent("gap", { missed: null, reason: "cursor_expired" });
  assert.equal(timeline.applyEvents([gap]), true);
  assert.equal(timeline.entries.length, 1);
  timeline.applyEvents(Array.from({ length: 2000 }, (_, n) => happened("observer.file", { n })));
  assert.equal(timeline.entries.length, 500);
});

test("missing events lie between those around them", () => {
  const timeline = new Timeline();
  const event = (/** @type {number} */ timestamp) => ({ event: "job.noted", timestamp });
  timeline.applyEvents([makeEvent("gap", { missed: null, reason: "monitor_lost" })]);
  const [gap] = timeline.entries;
  assert.deepEqual(timeline.gapSpan(gap), { from: null, to: null });
  timeline.applyEvents([makeEvent("job.noted", event(7)), makeEvent("job.noted", event(8))]);
  assert.deepEqual(timeline.gapSpan(gap), { from: null, to: 7000 });
  timeline.addOlder([event(5), event(4)], []);
  assert.deepEqual(timeline.gapSpan(gap), { from: 5000, to: 7000 });
});

test("recorded events go before those of the stream, each once and in words", () => {
  const timeline = new Timeline();
  const event = (/** @type {string} */ name, /** @type {number} */ timestamp, data = {}) => ({
    event: name,
    sheet_num: 0,
    data,
    timestamp,
  });
  const started = event("job.started", 4, { sheet_count: 4, instrument: "cli" });
  timeline.applyEvents([makeEvent("job.started", started)]);
  const older = [started, event("observer.file_created", 3), event("job.failed", 2), event("x", 1)];
  assert.equal(timeline.addOlder(older, ["job.", "x"]), 2);
  timeline.applyEvents([makeEvent("job.failed", event("job.failed", 2))]);
  assert.deepEqual(
    timeline.list().map(({ words, summary }) => `${words}: ${summary}`),
    ["Job started: 4 sheets · instrument cli", "Job failed: ", "x: "],
  );
  assert.equal(timeline.list({ text: "job started" }).length, 1);
  const failed = summarize({ all_success: false, exit_code: 1, deep: {}, none: null });
  assert.equal(failed, "exit code 1");
});

test("an announcement tells how many more changes there were", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const region = { textContent: "" };
  const announcer = new Announcer(/** @type {HTMLElement} */ (/** @type {unknown} */ (region)));
  for (const job of ["a", "b", "c"]) announcer.announce(`${job}: failed.`);
  t.mock.timers.tick(4_000);
  assert.equal(region.textContent, "b: failed. And 1 more change.");
});

test("durations, ages and sizes are formatted in words", () => {
  assert.equal(formatDuration(8_400), "8 s");
  assert.equal(formatDuration(185_000), "3 min 05 s");
  assert.equal(formatDuration(7_620_000), "2 h 07 min");
  assert.equal(formatDuration(NaN), "");
  assert.deepEqual([20, 400, 9_900, 9_960, NaN].map(formatShortDuration), [
    "< 0.1 s",
    "0.4 s",
    "9.9 s",
    "9 s",
    "",
  ]);
  assert.equal(formatAge(0, 90_000), "1 min ago");
  assert.equal(formatBytes(512.6 * 1024 * 1024), "512.6 MB");
});

const at = (/** @type {string} */ text) => Date.parse(text);

/** A server's clock that is an hour behind this machine's. */
function clockBehind() {
  const clock = new ServerClock();
  clock.addBounds({ low: -3_600_500, high: -3_599_500 });
  return clock;
}

test("server clock offset is narrowed by each response", () => {
  const clock = new ServerClock();
  assert.ok(Number.isNaN(clock.fromLocal(0)));
  clock.addBounds({ low: 1_000, high: 3_000 });
  assert.equal(clock.fromLocal(0), 2_000);
  clock.addBounds({ low: 2_000, high: 4_000 });
  assert.equal(clock.fromLocal(0), 2_500);
  // One of the clocks was set.
  clock.addBounds({ low: -500, high: 500 });
  assert.equal(clock.fromLocal(7), 7);
});

test("server clock stops while the page is not live, and is unknown before", () => {
  const clock = clockBehind();
  assert.ok(Number.isNaN(clock.knownUntil()));
  clock.setLive(true);
  assert.ok(Math.abs(clock.knownUntil() - (Date.now() - 3_600_000)) < 1_000);
  clock.setLive(false);
  const stopped = clock.knownUntil();
  clock.setLive(false);
  assert.equal(clock.knownUntil(), stopped);
});

/** @param {number} seconds before the present time of the server of `clockBehind`. */
const ago = (seconds) => new Date(Date.now() - 3_600_000 - 1000 * seconds).toISOString();

/** @typedef {import("../../../marianne_stream/web/static/js/model/job_times.js").JobTimes} JobTimes */

/** @param {JobTimes} job */
const durations = (job) => {
  const clock = clockBehind();
  clock.setLive(true);
  const until = clock.knownUntil();
  return [jobDuration(job, until), waitedTime(job, until)].map(formatDuration);
};

test("duration of a running job uses the server's clock, and is unknown before", () => {
  const clock = clockBehind();
  const job = { status: "running", started_at: ago(5.3) };
  assert.equal(formatDuration(jobDuration(job, clock.knownUntil())), "");
  assert.deepEqual(durations(job), ["5 s", "0 s"]);
});

test("job that was resumed goes on from the time that it had worked", () => {
  const job = { status: "running", started_at: ago(65.2), waited_s: 20 };
  assert.deepEqual(durations(job), ["45 s", "20 s"]);
  const ended = { ...job, status: "completed", completed_at: ago(5.2) };
  assert.deepEqual(durations(ended), ["40 s", "20 s"]);
  // What it waited for at its end is over.
  const waiting = { code: "paused", detail: "", since: ago(30) };
  assert.deepEqual(durations({ ...ended, waiting }), ["40 s", "20 s"]);
});

test("duration of a job that waits stands still, and its wait grows", () => {
  const waiting = { code: "rate_limited", detail: "", since: ago(30.5) };
  const job = { status: "running", started_at: ago(65), waited_s: 10, waiting };
  assert.deepEqual(durations(job), ["24 s", "40 s"]);
  // A sheet is still at work in a paused job.
  const atWork = { ...job, status: "paused", waiting: { code: "paused", detail: "" } };
  assert.deepEqual(durations({ ...atWork, last_progress_at: ago(30) }), ["55 s", "10 s"]);
  const queued = { code: "queued", detail: "", since: ago(30) };
  assert.deepEqual(durations({ status: "queued", waiting: queued }), ["", "0 s"]);
});

test("server that tells no wait: a paused job has worked until it last changed", () => {
  const job = { status: "paused", started_at: ago(7200), last_progress_at: ago(7000.5) };
  assert.deepEqual(durations(job), ["3 min 19 s", "1 h 56 min"]);
  assert.deepEqual(durations({ ...job, last_progress_at: null }), ["", "0 s"]);
  assert.equal(durations({ ...job, last_progress_at: ago(9000) })[0], "0 s");
  const waiting = { code: "rate_limited", detail: "" };
  assert.deepEqual(durations({ ...job, status: "running", waiting }), ["2 h 00 min", "0 s"]);
});

test("queued job tells when it was submitted, unless it has started before", () => {
  const job = { status: "queued", submitted_at: ago(9), last_progress_at: ago(3) };
  assert.deepEqual(lastChange(job), { label: "Submitted", at: Date.parse(job.submitted_at) });
  assert.equal(lastChange({ ...job, started_at: ago(5) }).label, "Changed");
});

test("last change is the progress of a running job and the end of a finished one", () => {
  const clock = clockBehind();
  clock.setLive(true);
  const ago9s = new Date(Date.now() - 3_609_300).toISOString();
  const ended = { status: "failed", completed_at: ago9s, updated_at: "2030-01-01T00:00:00Z" };
  assert.equal(lastChange(ended).label, "Ended");
  const running = { status: "running", started_at: ago9s, updated_at: ago9s };
  assert.equal(lastChange(running).label, "Changed");
  const times = new TimeFormat(clock);
  const changed = (/** @type {JobTimes} */ job) => formatLastChange(lastChange(job), clock, times);
  assert.equal(changed(ended), "9 s ago");
  assert.equal(changed(running), "");
  const progress = { ...running, last_progress_at: ago9s };
  assert.equal(changed(progress), "9 s ago");
  clock.setLive(false);
  assert.equal(changed(ended), "9 s ago");
  assert.equal(changed(progress), times.shortDateTime(at(ago9s)));
});

test("times have 24 hours and one zone", () => {
  const times = new TimeFormat({ now: () => at("2026-11-24T12:00:00Z") });
  times.zone = "utc";
  assert.equal(times.shortDateTime(at("2026-11-24T00:05:00Z")), "00:05");
  assert.equal(times.shortDateTime(at("2026-11-23T23:05:00Z")), "23 Nov, 23:05");
  const hours = [
    "2026-11-22T18:00Z",
    "2026-11-23T09:00Z",
    "2026-11-24T09:12Z",
    "2026-11-24T10:00Z",
  ];
  const [first, second, today, later] = hours.map(at);
  assert.equal(times.shortSpan(first, today), "22 Nov, 18:00 to today, 09:12");
  assert.equal(times.shortSpan(first, second), "22 Nov, 18:00 to 23 Nov, 09:00");
  assert.equal(times.shortSpan(today, later), "09:12 to 10:00");
  assert.equal(times.dateTime(today), "09:12:00");
  assert.equal(times.dateTime(first), "22 Nov 2026, 18:00:00");
  assert.equal(times.fullDateTime(at("2026-11-23T23:05:09Z")), "23 Nov 2026, 23:05:09 UTC");
  assert.equal(times.timeOfDay(NaN), "");
});

test("line time is shown in the selected zone, and unchanged without a zone", () => {
  const times = new TimeFormat({ now: () => at("2026-11-24T12:00:00Z") });
  times.zone = "utc";
  const shown = (/** @type {string} */ loggedAt, time = "") => lineTime({ loggedAt, time }, times);
  assert.equal(shown("2026-11-24T00:30:00.5+05:30").text, "19:00:00.500");
  assert.equal(shown("2026-11-24T00:30:00.5+0530").day, "23 Nov 2026");
  assert.deepEqual(
    [shown("[2026-11-24 03:00:00,119]").text, shown("2026-11-24 03:00:00").kind],
    ["03:00:00.119", "unzoned"],
  );
  assert.equal(shown("", "2026-11-24T03:00:00Z").kind, "received");
  assert.equal(shown("2026-99-99T03:00:00", "").kind, "");
});

test("day heading appears where the day changes, except for today", () => {
  const days = ["", "a", "", "a", "b", "", "today"];
  const begun = days.map((_, index) => dayHeading((other) => days[other], index, "today"));
  assert.deepEqual(begun, ["", "a", "", "", "b", "", "today"]);
  assert.equal(
    dayHeading(() => "today", 0, "today"),
    "",
  );
});
