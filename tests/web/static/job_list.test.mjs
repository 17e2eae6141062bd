import assert from "node:assert/strict";
import { test } from "node:test";

import { Conductors } from "../../../marianne_stream/web/static/js/model/conductors.js";
import {
  formatJobListUrl,
  nextSort,
  parseJobListQuery,
} from "../../../marianne_stream/web/static/js/model/job_list_query.js";
import {
  firstLine,
  formatRest,
  hasNote,
  jobNote,
} from "../../../marianne_stream/web/static/js/model/job_note.js";
import {
  groupJobs,
  keepOrder,
  SECTION_KEYS,
} from "../../../marianne_stream/web/static/js/model/job_sections.js";
import { stripParts, stripText } from "../../../marianne_stream/web/static/js/model/job_strip.js";
import { Roster } from "../../../marianne_stream/web/static/js/model/roster.js";
import { SeenFailures } from "../../../marianne_stream/web/static/js/model/seen_failures.js";
import { ServerClock } from "../../../marianne_stream/web/static/js/model/server_clock.js";
import { TimeFormat } from "../../../marianne_stream/web/static/js/model/time_format.js";

/** @typedef {import("../../../marianne_stream/web/static/js/model/roster.js").RosterEntry} Entry */
/** @typedef {import("../../../marianne_stream/web/static/js/model/job_sections.js").Sort} Sort */
/** @typedef {import("../../../marianne_stream/web/static/js/model/job_sections.js").Sections} Sections */

const MINUTE = 60_000;

/**
 * @param {string} job_id
 * @param {string} status
 * @param {Partial<Entry>} [more]
 * @returns {Entry}
 */
const makeJob = (job_id, status, more = {}) => ({ job_id, status, ...more });

/** @param {number} minute */
const at = (minute) => new Date(Date.UTC(2026, 10, 24, 12, minute)).toISOString();

/** @param {Sections} sections */
const namesOf = (sections) =>
  Object.fromEntries(SECTION_KEYS.map((key) => [key, sections[key].map((job) => job.job_id)]));

/**
 * @param {Entry[]} jobs
 * @param {{seen?: string[], sort?: Sort | null}} [options]
 */
const group = (jobs, { seen = [], sort = null } = {}) =>
  groupJobs(jobs, {
    isSeen: ({ job_id }) => seen.includes(job_id),
    sort,
    until: Date.parse(at(30)),
  });

function makeContext() {
  const clock = new ServerClock();
  clock.addBounds({ low: 0, high: 0 });
  clock.setLive(true);
  const times = new TimeFormat(clock);
  times.zone = "utc";
  return { clock, times, queueReason: "" };
}

test("jobs that need a person come first, whatever their status", () => {
  const jobs = [
    makeJob("done", "completed"),
    makeJob("run", "running", { stalled: [] }),
    makeJob("stuck", "running", { stalled: [3] }),
    makeJob("person", "running", { waiting: { code: "person", detail: "" } }),
    makeJob("chain", "paused_at_chain"),
    makeJob("rest", "paused"),
    makeJob("wait", "queued"),
    makeJob("limit", "running", { waiting: { code: "rate_limited", detail: "" } }),
    makeJob("new", "failed"),
    makeJob("seen", "failed"),
    makeJob("odd", "pondering"),
  ];
  assert.deepEqual(namesOf(group(jobs, { seen: ["seen"] })), {
    attention: ["new", "chain", "person", "rest", "stuck"],
    running: ["limit", "odd", "run"],
    queued: ["wait"],
    done: ["done", "seen"],
  });
});

test("sections have an order of their own: the queue from its head, ends from the last", () => {
  const jobs = [
    makeJob("q1", "queued", { submitted_at: at(1) }),
    makeJob("q2", "queued", { submitted_at: at(2) }),
    makeJob("r1", "running", { submitted_at: at(1) }),
    makeJob("r2", "running", { submitted_at: at(2) }),
    makeJob("d1", "completed", { submitted_at: at(1), completed_at: at(9) }),
    makeJob("d2", "completed", { submitted_at: at(2), completed_at: at(3) }),
    makeJob("d3", "cancelled", { submitted_at: at(4) }),
  ];
  assert.deepEqual(namesOf(group(jobs.toReversed())), {
    attention: [],
    running: ["r2", "r1"],
    queued: ["q1", "q2"],
    done: ["d1", "d3", "d2"],
  });
});

test("jobs are sorted by each column, and unknown values come last in both directions", () => {
  const jobs = [
    makeJob("job-10", "running", { started_at: at(0), estimated_cost: 2, eta_at: at(40) }),
    makeJob("job-9", "running", { started_at: at(20), estimated_cost: 3, eta_at: at(50) }),
    makeJob("job-1", "running", { total_sheets: 4, completed_sheets: 1 }),
  ];
  /**
   * @param {Sort["key"]} key
   * @param {boolean} isAscending
   */
  const order = (key, isAscending) =>
    group(jobs, { sort: { key, isAscending } }).running.map(({ job_id: id }) => id);
  assert.deepEqual(order("name", true), ["job-1", "job-9", "job-10"]);
  assert.deepEqual(order("name", false), ["job-10", "job-9", "job-1"]);
  assert.deepEqual(order("duration", false), ["job-10", "job-9", "job-1"]);
  assert.deepEqual(order("duration", true), ["job-9", "job-10", "job-1"]);
  assert.deepEqual(order("cost", false), ["job-9", "job-10", "job-1"]);
  assert.deepEqual(order("ends", true), ["job-10", "job-9", "job-1"]);
  assert.equal(order("sheets", false)[0], "job-1");
  assert.equal(order("sheets", true)[0], "job-1");
});

test("a job is in its own section at once, and the order within a section is kept", () => {
  const shown = group([
    makeJob("a", "running"),
    makeJob("b", "running"),
    makeJob("c", "running"),
    makeJob("gone", "queued"),
    makeJob("old", "failed"),
  ]);
  const wanted = group(
    [
      makeJob("a", "failed"),
      makeJob("c", "running", { submitted_at: at(1) }),
      makeJob("b", "running", { submitted_at: at(2) }),
      makeJob("new", "running", { submitted_at: at(3) }),
      makeJob("old", "failed"),
    ],
    { sort: { key: "name", isAscending: false } },
  );
  assert.deepEqual(
    wanted.running.map(({ job_id: id }) => id),
    ["new", "c", "b"],
  );
  assert.deepEqual(namesOf(keepOrder(shown, wanted)), {
    attention: ["a", "old"],
    running: ["new", "b", "c"],
    queued: [],
    done: [],
  });
  // No row moves from under the pointer within its section.
  assert.deepEqual(namesOf(keepOrder(shown, wanted, "b")).running, ["b", "new", "c"]);
  assert.deepEqual(namesOf(keepOrder(shown, wanted, "old")).attention, ["old", "a"]);
});

test("filter and sort stand in the address", () => {
  assert.deepEqual(parseJobListQuery(""), { tone: "", name: "", sort: null });
  const url = formatJobListUrl({
    tone: "failed",
    name: "a b",
    sort: { key: "duration", isAscending: true },
  });
  assert.equal(url, "/?status=failed&name=a+b&sort=duration&order=ascending");
  assert.deepEqual(parseJobListQuery(url.slice(1)), {
    tone: "failed",
    name: "a b",
    sort: { key: "duration", isAscending: true },
  });
  assert.equal(formatJobListUrl({ tone: "", name: "", sort: null }), "/");
  assert.deepEqual(parseJobListQuery("?status=odd&sort=odd&order=newest").sort, null);
  assert.deepEqual(parseJobListQuery("?sort=name").sort, { key: "name", isAscending: true });
});

test("a column sorts in its own direction, then in the other, then not", () => {
  const first = nextSort(null, "cost");
  assert.deepEqual(first, { key: "cost", isAscending: false });
  const second = nextSort(first, "cost");
  assert.deepEqual(second, { key: "cost", isAscending: true });
  assert.equal(nextSort(second, "cost"), null);
  assert.deepEqual(nextSort(second, "name"), { key: "name", isAscending: true });
});

test("strip shows what the roster tells: counts, the sheet at work, waits and stalls", () => {
  /** @param {Partial<Entry>} more */
  const parts = (more) => {
    const job = makeJob("a", "running", { total_sheets: 6, completed_sheets: 2, ...more });
    return stripParts(job).map(({ kind, count }) => `${kind} ${count}`);
  };
  assert.deepEqual(parts({}), ["completed 2", "open 4"]);
  const atWork = { current_sheet: 3, active_sheets: 1 };
  assert.deepEqual(parts(atWork), ["completed 2", "running 1", "open 3"]);
  // The conductor's current sheet need not be at work.
  assert.deepEqual(parts({ current_sheet: 3 }), ["completed 2", "open 4"]);
  assert.deepEqual(parts({ current_sheet: 3, stalled: [3, 4] }), [
    "completed 2",
    "stalled 2",
    "open 2",
  ]);
  const waiting = { code: "rate_limited", detail: "", sheet: 3 };
  assert.deepEqual(parts({ waiting, current_sheet: 3 }), ["completed 2", "waiting 1", "open 3"]);
  assert.deepEqual(parts({ status: "failed", current_sheet: 3 }), [
    "completed 2",
    "failed 1",
    "open 3",
  ]);
  assert.deepEqual(parts({ current_sheet: 3, active_sheets: 3, stalled: [4] }), [
    "completed 2",
    "stalled 1",
    "running 2",
    "open 1",
  ]);
  assert.deepEqual(parts({ completed_sheets: 9 }), ["completed 6"]);
  assert.deepEqual(parts({ completed_sheets: null }), ["open 6"]);
  assert.deepEqual(parts({ total_sheets: null }), []);
  assert.equal(stripText(makeJob("a", "queued")), "Number of sheets unknown");
  const busy = makeJob("a", "running", { total_sheets: 6, completed_sheets: 2, current_sheet: 3 });
  assert.equal(stripText(busy), "2 of 6 sheets completed");
  const one = { ...busy, active_sheets: 1 };
  assert.equal(stripText(one), "2 of 6 sheets completed, sheet 3 at work");
  assert.equal(stripText({ ...busy, active_sheets: 4 }), "2 of 6 sheets completed, 4 at work");
});

test("note tells the first line of the error, the wait, or the sheet at work", () => {
  const context = makeContext();
  /** @param {Entry} job */
  const note = (job) => jobNote(job, context);
  const failed = makeJob("a", "failed", { error_message: "\n \u001b[31mred\u001b[0m\nsecond" });
  assert.deepEqual(note(failed), { text: "red", kind: "error" });
  assert.equal(note(makeJob("a", "failed")).text, "Open the job to see its error.");
  const stalled = makeJob("a", "running", { stalled: [3], current_sheet: 3 });
  assert.match(note(stalled).text, /^Sheet 3 shows no sign of life/);
  const waiting = { code: "queued", detail: "Not started yet." };
  assert.equal(note(makeJob("a", "queued", { waiting })).text, "Not started yet.");
  const queueReason = "Waits for one of 2 places for jobs.";
  const reasoned = jobNote(makeJob("a", "queued", { waiting }), { ...context, queueReason });
  assert.equal(reasoned.text, queueReason);
  const submitted = makeJob("a", "queued", { waiting, submitted_at: "2023-11-24T12:05:00Z" });
  assert.equal(note(submitted).text, "Submitted 24 Nov 2023, 12:05. Not started yet.");
  const busy = makeJob("a", "running", { current_sheet: 7, active_sheets: 1 });
  assert.deepEqual(note(busy), { text: "Sheet 7 is at work.", kind: "work" });
  const wide = { ...busy, active_sheets: 4, started_at: "2023-11-24T12:05:00Z" };
  assert.equal(
    note(wide).text,
    "Started 24 Nov 2023, 12:05. 4 sheets are at work, from sheet 7 on.",
  );
  const until = new Date(context.clock.now() + 4.5 * MINUTE).toISOString();
  const limited = { code: "rate_limited", detail: "The limit is reached.", until };
  assert.match(
    note(makeJob("a", "running", { waiting: limited })).text,
    /^Goes on at .*\d\d:\d\d, in 4 min \d\d s\. The limit is reached\.$/,
  );
  const paused = { code: "paused", detail: "The job is paused." };
  assert.match(note(makeJob("a", "paused", { waiting: paused })).text, /command to resume/);
  assert.deepEqual(
    ["running", "failed", "completed"].map((status) => hasNote(makeJob("a", status))),
    [true, true, false],
  );
  assert.equal(firstLine(""), "");
});

test("rest until the estimated end is given to the minute, and only while the page is live", () => {
  const { clock } = makeContext();
  /** @param {number} ms */
  const rest = (ms) => {
    const eta_at = new Date(clock.now() + ms).toISOString();
    return formatRest(makeJob("a", "running", { eta_at }), clock);
  };
  assert.equal(rest(4.2 * MINUTE), "in 4 min");
  assert.equal(rest(125.2 * MINUTE), "in 2 h 05 min");
  assert.equal(rest(10_000), "in < 1 min");
  assert.equal(rest(-5_000), "any moment");
  assert.equal(formatRest(makeJob("a", "running"), clock), "");
  assert.equal(formatRest(makeJob("a", "failed", { eta_at: at(0) }), clock), "");
  clock.setLive(false);
  assert.equal(rest(4 * MINUTE), "");
});

test("failure that was marked as seen counts again after another failure", () => {
  const failure = makeJob("a", "failed", { submitted_at: at(0), completed_at: at(5) });
  const seen = new SeenFailures("damaged");
  assert.equal(seen.has(failure), false);
  seen.set(failure, true);
  const loaded = new SeenFailures(JSON.parse(JSON.stringify(seen)));
  assert.equal(loaded.has(failure), true);
  // It may be another failure, whose end is not known yet.
  assert.equal(loaded.has({ ...failure, completed_at: null }), false);
  assert.equal(loaded.has({ ...failure, completed_at: at(9) }), false);
  assert.equal(loaded.has({ ...failure, submitted_at: at(1) }), false);
  loaded.set(failure, false);
  assert.equal(loaded.has(failure), false);
});

test("failure that was marked before its end was known stays marked, and another one is not", () => {
  const failure = makeJob("a", "failed", { submitted_at: at(0) });
  const ended = { ...failure, completed_at: at(5) };
  const seen = new SeenFailures();
  seen.set(failure, true);
  assert.equal(seen.has(ended), false);
  assert.equal(seen.followChange(ended, { ...failure, status: "running" }), false);
  assert.equal(seen.followChange(ended, failure), true);
  assert.equal(seen.has(ended), true);
  assert.equal(seen.followChange({ ...failure, completed_at: at(9) }, ended), false);
  assert.equal(seen.has({ ...failure, completed_at: at(9) }), false);
});

test("conductor explains why jobs wait", () => {
  const { clock, times } = makeContext();
  const conductors = new Conductors();
  const texts = () => conductors.notices(clock, times).map(({ text }) => text);
  assert.deepEqual(texts(), []);
  assert.equal(conductors.loadText(), "");
  const limits = { max_concurrent_jobs: 2 };
  // The roster is newer than what the conductor has told.
  conductors.listedCount = 1;
  conductors.add({ version: "0.1.0", running_jobs: 2, limits, pressure_level: "none" });
  assert.equal(conductors.loadText(), "Conductor 0.1.0: 1 of 2 places in use");
  assert.equal(conductors.queueReason(), "");
  assert.deepEqual(texts(), []);
  const until = new Date(clock.now() + 4.5 * MINUTE).toISOString();
  const past = new Date(clock.now() - 1).toISOString();
  conductors.listedCount = 2;
  conductors.add({
    running_jobs: 1,
    limits,
    pressure_level: "high",
    accepting_work: false,
    rate_limits: [
      { instrument: "claude-code", until },
      { instrument: "cli", until: past },
    ],
  });
  assert.equal(conductors.loadText(), "Conductor: all 2 places in use");
  conductors.listedCount = 23;
  assert.equal(conductors.loadText(), "Conductor: all 2 places in use");
  assert.equal(conductors.queueReason(), "Waits for one of 2 places for jobs.");
  const [pressure, places, limit, ...others] = texts();
  assert.match(pressure, /under high pressure: it delays sheets and rejects new jobs/);
  assert.match(places, /^All 2 places for jobs are taken/);
  assert.match(limit, /^claude-code has reached its rate limit until \d\d:\d\d\.$/);
  assert.deepEqual(others, []);
  conductors.add({ shutting_down: true, accepting_work: false });
  assert.deepEqual(texts(), ["The conductor is shutting down."]);
  conductors.add({ source_name: "east", version: "0.2.0", running_jobs: 3 });
  assert.equal(conductors.queueReason(), "");
  assert.equal(conductors.loadText(), "Conductor east 0.2.0: 3 jobs run");
});

test("notices change with what they tell only, not with each second", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.UTC(2026, 10, 24, 12) });
  const { clock, times } = makeContext();
  const conductors = new Conductors();
  const until = new Date(clock.now() + 30 * MINUTE).toISOString();
  conductors.add({ running_jobs: 1, rate_limits: [{ instrument: "cli", until }] });
  const first = conductors.notices(clock, times);
  assert.equal(first[0].text, "cli has reached its rate limit until 12:30.");
  t.mock.timers.tick(20 * MINUTE);
  assert.deepEqual(conductors.notices(clock, times), first);
  t.mock.timers.tick(11 * MINUTE);
  assert.deepEqual(conductors.notices(clock, times), []);
});

test("roster keeps the conductor's information, and reports a wait for a person as a change", () => {
  const roster = new Roster();
  /** @param {Entry} job */
  const send = (job) => {
    const data = JSON.stringify({ complete: false, jobs: [job], removed: [] });
    return roster.applyEvents([{ event: "roster", id: "", data }]);
  };
  const info = JSON.stringify({ running_jobs: 3 });
  roster.applyEvents([{ event: "conductor", id: "", data: info }]);
  send(makeJob("a", "running"));
  assert.equal(roster.conductors.loadText(), "Conductor: 1 job runs");
  assert.deepEqual(send(makeJob("a", "running", { current_sheet: 2 })), []);
  const waiting = { code: "person", detail: "" };
  const [change] = send(makeJob("a", "running", { waiting }));
  assert.equal(change.job.waiting?.code, "person");
  assert.equal(change.previous?.current_sheet, 2);
  send(makeJob("b", "failed"));
  const [ended] = send(makeJob("b", "failed", { completed_at: at(1) }));
  assert.equal(ended.previous?.status, "failed");
});
