import assert from "node:assert/strict";
import { test } from "node:test";

import {
  barLabel,
  ganttRows,
  ganttSpan,
  ganttTicks,
  missingBarWords,
  ROW_REM,
  segmentLabel,
  sheetLabel,
  sheetSegments,
  sheetToOpen,
  visibleRows,
} from "../../../marianne_stream/web/static/js/model/gantt.js";
import {
  formatCost,
  formatEta,
  formatTokens,
  sheetsAtWork,
  stalledSentence,
  waitingSentence,
} from "../../../marianne_stream/web/static/js/model/job_facts.js";
import { Job } from "../../../marianne_stream/web/static/js/model/job.js";
import { ServerClock } from "../../../marianne_stream/web/static/js/model/server_clock.js";
import {
  formatAttempt,
  hasError,
  listValidations,
  sheetFacts,
  sheetOutputs,
} from "../../../marianne_stream/web/static/js/model/sheet_detail.js";
import { SheetHistory } from "../../../marianne_stream/web/static/js/model/sheet_history.js";
import { spanLines } from "../../../marianne_stream/web/static/js/model/sheet_log.js";
import { TimeFormat } from "../../../marianne_stream/web/static/js/model/time_format.js";

const START = Date.parse("2026-11-24T12:00:00Z");

/** @param {number} seconds after the start. */
const iso = (seconds) => new Date(START + seconds * 1000).toISOString();

/** @param {number} seconds after the start. */
const ms = (seconds) => START + seconds * 1000;

/**
 * @param {number} at seconds after the start.
 * @param {string} status
 * @param {number} [attempt]
 */
const transition = (at, status, attempt = 1) => ({ at: ms(at), status, attempt });

/** @param {ReturnType<typeof sheetSegments>} segments */
const shape = (segments) =>
  segments.map(({ kind, from, to, isFailed }) => [
    isFailed ? "failed" : kind,
    (from - START) / 1000,
    (to - START) / 1000,
  ]);

test("retries are segments of a bar, with the wait between them", () => {
  const sheet = { number: 1, status: "completed", started_at: iso(0), completed_at: iso(9) };
  const seen = [
    transition(0.1, "dispatched"),
    transition(3, "retry_scheduled"),
    transition(5, "dispatched", 2),
    transition(5.5, "in_progress", 2),
    transition(9, "completed", 2),
  ];
  const segments = sheetSegments(sheet, seen, ms(60));
  assert.deepEqual(shape(segments), [
    ["failed", 0, 3],
    ["wait", 3, 5],
    ["work", 5, 9],
  ]);
  assert.equal(barLabel(segments), "1 failed attempt, 1 wait");
  assert.deepEqual(segments.map(segmentLabel), [
    "attempt 1, failed, 3.0 s",
    "waits, 2.0 s",
    "attempt 2, 4.0 s",
  ]);
});

test("a retry whose wait was not seen begins a segment", () => {
  const sheet = { number: 1, status: "in_progress", started_at: iso(0) };
  const seen = [transition(0, "dispatched"), transition(4, "dispatched", 2)];
  assert.deepEqual(shape(sheetSegments(sheet, seen, ms(6))), [
    ["failed", 0, 4],
    ["work", 4, 6],
  ]);
});

test("a rate limit is a wait, and fails no attempt", () => {
  const sheet = { number: 1, status: "waiting", started_at: iso(0) };
  const seen = [transition(0, "dispatched"), transition(4, "waiting")];
  assert.deepEqual(shape(sheetSegments(sheet, seen, ms(6))), [
    ["work", 0, 4],
    ["wait", 4, 6],
  ]);
  // It was at work before, nobody knows how long.
  assert.deepEqual(shape(sheetSegments(sheet, [], ms(6))), [["unknown", 0, 6]]);
});

test("a sheet of unknown start or end has no bar", () => {
  assert.deepEqual(sheetSegments({ number: 1, status: "completed" }, [], ms(6)), []);
  const cut = { number: 1, status: "completed", started_at: iso(3) };
  assert.deepEqual(sheetSegments(cut, [], ms(6)), []);
});

test("a sheet without a bar says in words what is not known of its time", () => {
  const times = new TimeFormat({ now: () => START });
  times.zone = "utc";
  const words = (/** @type {string} */ status, /** @type {object} */ known = {}) =>
    missingBarWords({ number: 1, status, ...known }, ms(60), times);
  const [started_at, completed_at] = [iso(0), iso(5)];
  assert.equal(words("completed", { started_at, completed_at }), "");
  assert.equal(words("completed"), "start and end unknown");
  assert.equal(words("completed", { completed_at }), "ended 12:00, start unknown");
  assert.equal(words("stopped", { started_at }), "started 12:00, end unknown");
  assert.equal(words("failed", { started_at: iso(9), completed_at }), "start and end unknown");
  assert.deepEqual(
    ["skipped", "cancelled"].map((status) => words(status)),
    ["did not run", "did not run"],
  );
  assert.equal(words("dispatched"), "start unknown");
  assert.deepEqual(
    ["pending", "retry_scheduled"].map((status) => words(status)),
    ["", ""],
  );
});

test("span ends behind the current time, or at the end of a job that has ended", () => {
  const sheets = [{ number: 1, status: "in_progress", started_at: iso(2) }];
  const running = { status: "running", started_at: iso(0) };
  assert.deepEqual(ganttSpan(running, sheets, ms(100), true), {
    from: ms(0),
    to: ms(104),
    now: ms(100),
  });
  assert.equal(ganttSpan(running, sheets, NaN, true), null);
  assert.equal(ganttSpan({ status: "queued" }, [], ms(5), true), null);
  // It was deleted, or stands still.
  assert.deepEqual(ganttSpan(running, sheets, ms(7), false), { from: ms(0), to: ms(7), now: null });
  const ended = { status: "completed", completed_at: iso(8) };
  const done = [{ number: 1, status: "completed", started_at: iso(2), completed_at: iso(9) }];
  assert.deepEqual(ganttSpan(ended, done, ms(100), false), { from: ms(2), to: ms(9), now: null });
});

test("ticks are round local times, and few", () => {
  const span = { from: ms(3), to: ms(100) };
  assert.deepEqual(ganttTicks(span, 4, 0), { step: 30_000, times: [30, 60, 90].map(ms) });
  const long = ganttTicks({ from: ms(0), to: ms(3 * 86_400) }, 4, 1_800_000);
  assert.equal(long.step, 86_400_000);
  assert.equal(long.times[0], ms(12 * 3600 - 1800));
  for (const seconds of [0.5, 7, 90, 5e3, 1e5, 1e7]) {
    assert.ok(ganttTicks({ from: ms(0), to: ms(seconds) }, 5, 0).times.length <= 6);
  }
  assert.deepEqual(ganttTicks({ from: 0, to: 1e15 }, 5, 0).times, []);
  assert.equal(ganttTicks({ from: ms(0), to: ms(0.7) }, 4, 0).step, 200);
  assert.deepEqual(ganttTicks({ from: ms(0.02), to: ms(0.05) }, 4, 0).times, [ms(0.02)]);
});

test("of 300 sheets only the visible rows are listed", () => {
  const sheets = Array.from({ length: 300 }, (_, index) => ({
    number: index + 1,
    status: index < 10 ? "completed" : "pending",
  }));
  const rows = ganttRows([{ movement: 1, sheets }]);
  assert.equal(rows[0].heading, "Movement 1 · 10 of 300");
  assert.equal(rows.length, 301);
  const shown = visibleRows(rows, 100 * ROW_REM, 10 * ROW_REM);
  assert.ok(shown.length <= 12);
  assert.equal(shown[1].sheet?.number, 100);
  assert.equal(ganttRows([{ movement: null, sheets }]).length, 300);
});

test("a job opens at its first failed sheet, or at the one that waits for a person", () => {
  const sheets = ["completed", "skipped", "failed", "failed"].map((status, index) => ({
    number: index + 1,
    status,
  }));
  assert.equal(sheetToOpen({ status: "failed" }, sheets), 3);
  assert.equal(sheetToOpen({ status: "running" }, sheets), null);
  assert.equal(sheetToOpen({ status: "failed" }, []), null);
  const waiting = { code: "person", detail: "", sheet: 2 };
  assert.equal(sheetToOpen({ status: "running", waiting }, sheets), 2);
  assert.equal(sheetToOpen({ status: "running", waiting }, []), null);
  const limited = { ...waiting, code: "rate_limited" };
  assert.equal(sheetToOpen({ status: "running", waiting: limited }, sheets), null);
  const label = sheetLabel({ ...sheets[2], attempt: 2, error_message: "x" }, { duration: "3 s" });
  assert.equal(label, "Sheet 3, failed, attempt 2, 3 s, has an error");
});

test("history joins recorded transitions with those seen since", () => {
  const history = new SheetHistory();
  history.note({ number: 1, status: "dispatched", attempt: 1 }, ms(2));
  history.note({ number: 1, status: "dispatched", attempt: 1 }, ms(3));
  history.note({ number: 1, status: "retry_scheduled", attempt: 1 }, ms(4));
  history.note({ number: 2, status: "dispatched", attempt: 1 }, ms(4));
  history.load([
    { number: 0, status: "running", at: iso(0) },
    { number: 1, status: "ready", at: iso(0), backfilled: true },
    { number: 1, status: "dispatched", at: iso(1), attempt: 1 },
  ]);
  assert.deepEqual(history.get(1), [transition(1, "dispatched"), transition(4, "retry_scheduled")]);
  assert.deepEqual(history.get(2), [transition(4, "dispatched")]);
  assert.deepEqual(history.get(0), []);
});

test("a paused job stands still once no sheet is at work", () => {
  const clock = new ServerClock();
  clock.addBounds({ low: 0, high: 0 });
  clock.setLive(true);
  const job = new Job();
  const send = (/** @type {string} */ event, /** @type {object} */ data) =>
    job.applyEvents([{ event, data: JSON.stringify(data), id: "", at: ms(0) }]);
  const sheets = (/** @type {string} */ status) =>
    send("job_sheets", { complete: true, sheets: [{ number: 1, status }] });
  const waiting = { code: "paused", detail: "", since: iso(8) };
  send("job_status", { status: "running" });
  assert.ok(job.goesOn);
  sheets("dispatched");
  send("job_status", { status: "paused", waiting });
  assert.ok(job.goesOn);
  sheets("completed");
  assert.equal(job.pausedSince, ms(8));
  assert.equal(job.sheetsUntil(clock), ms(8));
  assert.ok(!job.goesOn);
  send("job_status", { status: "paused", last_progress_at: iso(7) });
  assert.equal(job.pausedSince, ms(7));
  send("job_status", { status: "running" });
  assert.ok(Number.isNaN(job.pausedSince));
  assert.ok(Date.now() - job.sheetsUntil(clock) < 60_000);
});

test("sheets at work are named, all of them", () => {
  const atWork = (/** @type {number[]} */ ...numbers) =>
    sheetsAtWork(numbers.map((number) => ({ number, status: "dispatched" })));
  assert.equal(atWork(), "");
  assert.equal(atWork(7), "sheet 7");
  assert.equal(atWork(7, 8, 9, 10), "4 sheets: 7 to 10");
  assert.equal(atWork(1, 2, 5, 7, 8, 9), "6 sheets: 1, 2, 5, 7 to 9");
  assert.equal(atWork(1, 3, 5, 7, 9), "5 sheets: 1, 3, 5, 7 and others");
  assert.equal(sheetsAtWork([{ number: 1, status: "waiting" }]), "");
});

test("a job's error is shown unless the sheet's says all of it", () => {
  const sheet = { number: 1, status: "failed", error_message: "Exit code 1" };
  assert.ok(hasError(sheet, "Exit code 1"));
  assert.ok(!hasError(sheet, "Exit code 1; sheets 5 and 9 failed as well"));
  assert.ok(hasError({ ...sheet, error_truncated: true }, "Exit code 1, and more"));
  assert.ok(hasError({ ...sheet, error_message: "Exit code 1, and more" }, "Exit code 1"));
  assert.ok(!hasError(undefined, "Exit code 1"));
});

test("lines of a sheet are those with a time in its span, and what belongs to them", () => {
  const line = (/** @type {string} */ text, /** @type {string} */ logged_at = "") => ({
    ...{ line: text, line_number: 1, cursor: "", logged_at },
  });
  const lines = [
    line("before", "2026-11-24T11:59:59.999"),
    line("of the one before"),
    line("first", "2026-11-24T12:00:00"),
    line("traceback"),
    line("other zone", "2026-11-24T13:00:03.500+01:00"),
    line("last", "2026-11-24T12:00:05.000123Z"),
    line("after", "2026-11-24T12:00:05.100Z"),
    line("of the one after"),
  ];
  const texts = (
    /** @type {object[]} */ found,
    /** @type {string | null} */ before,
    offset = "Z",
  ) => {
    const page = { lines: /** @type {typeof lines} */ (found), before };
    const span = spanLines(page, { from: ms(0), to: ms(5) }, offset);
    return [span.isComplete, ...span.lines.map((one) => one.line)];
  };
  assert.deepEqual(texts(lines, "1"), [true, "first", "traceback", "other zone", "last"]);
  assert.deepEqual(texts(lines.slice(1), "1"), [false, "first", "traceback", "other zone", "last"]);
  assert.deepEqual(texts(lines.slice(3), null), [true, "other zone", "last"]);
  assert.deepEqual(texts([line("no time")], null), [true]);
  // Lines without an offset are in the local time of the server.
  const local = line("local", "2026-11-24T13:00:02.5");
  assert.deepEqual(texts([local, line("not local", "2026-11-24T12:00:02.5")], "1", "+0100"), [
    ...[true, "local"],
  ]);
  const span = { from: ms(0), to: ms(5) };
  const { lines: shown } = spanLines({ lines: [local], before: null }, span, "+0100");
  assert.equal(shown[0].logged_at, "2026-11-24T13:00:02.5+01:00");
});

test("history is that of one run, and begins with the first change", () => {
  const job = new Job();
  const event = (/** @type {string} */ name, /** @type {object} */ data) => ({
    event: name,
    data: JSON.stringify(data),
    id: "",
    at: ms(1),
  });
  const sheets = (/** @type {boolean} */ complete, /** @type {string} */ status) =>
    event("job_sheets", { complete, sheets: [{ number: 1, status }] });
  job.applyEvents([event("job_status", { status: "running", run: "a" }), sheets(true, "pending")]);
  assert.deepEqual(job.history.get(1), []);
  job.applyEvents([sheets(false, "dispatched")]);
  assert.equal(job.history.get(1).length, 1);
  assert.equal(job.completeCount, 1);
  job.applyEvents([event("job_status", { status: "queued", run: "b" })]);
  assert.deepEqual(job.history.get(1), []);
});

test("facts about a job are words, and empty if unknown", () => {
  const clock = new ServerClock();
  const times = new TimeFormat(clock);
  times.zone = "utc";
  const soon = new Date(Date.now() + 65_500).toISOString();
  clock.addBounds({ low: 0, high: 0 });
  assert.match(formatEta(soon, clock, times), /^about [^,]*$|^about \d+ \w+, [\d:]+$/);
  clock.setLive(true);
  assert.match(formatEta(soon, clock, times), /, in 1 min$/);
  assert.match(formatEta(iso(-1e7), clock, times), /, any moment$/);
  assert.equal(formatEta(null, clock, times), "");
  const waiting = { code: "retry", detail: "Sheet 2 waits.", until: soon };
  assert.match(
    waitingSentence(waiting, clock, times),
    /^Sheet 2 waits. It goes on at .*, in 1 min/,
  );
  assert.equal(waitingSentence({ code: "paused", detail: "Paused." }, clock, times), "Paused.");
  assert.equal(waitingSentence(undefined, clock, times), "");
  assert.deepEqual([0, 0.001, 0.5, 1234.5].map(formatCost), [
    "",
    "under $0.01",
    "$0.50",
    "$1234.50",
  ]);
  assert.equal(formatTokens({ input_tokens: 12_345, output_tokens: 900 }), "12.3K in, 900 out");
  assert.equal(formatTokens({}), "");
  assert.equal(stalledSentence([]), "");
  assert.match(stalledSentence([3]), /^Sheet 3 shows/);
  assert.match(stalledSentence([1, 2, 3, 4, 5, 6, 7, 8, 9]), /8 and 1 more show/);
});

test("details of a sheet are listed if they are known", () => {
  const times = new TimeFormat({ now: () => START });
  times.zone = "utc";
  const sheet = { number: 1, status: "failed", attempt: 2, started_at: iso(0) };
  assert.equal(formatAttempt({ ...sheet, max_retries: 3 }), "attempt 2 of 3");
  assert.equal(formatAttempt({ ...sheet, max_retries: 1 }), "attempt 2");
  assert.equal(formatAttempt({ ...sheet, attempt: null }), "");
  const facts = (/** @type {object} */ more) =>
    sheetFacts({ ...sheet, ...more }, times).map(({ label, value }) => [label, value]);
  assert.deepEqual(facts({ exit_code: 0, estimated_cost: 0.5 }), [
    ["Started", "12:00:00"],
    ["Exit code", "0"],
    ["Estimated cost", "$0.50"],
  ]);
  assert.deepEqual(facts({ completed_at: iso(86_400) })[1], ["Ended", "25 Nov 2026, 12:00:00"]);
  assert.equal(sheetFacts(sheet, times)[0].title, "24 Nov 2026, 12:00:00 UTC");
  assert.equal(sheetOutputs(sheet).sentence, "This conductor keeps no output of this sheet.");
  assert.equal(
    sheetOutputs({ ...sheet, status: "dispatched" }).sentence,
    "The conductor tells the output once the sheet has ended.",
  );
  assert.match(sheetOutputs({ number: 1, status: "pending" }).sentence, /not started/);
  assert.equal(sheetOutputs({ number: 1, status: "skipped" }).sentence, "It did not run.");
  assert.match(sheetOutputs({ ...sheet, omitted: ["stdout_tail"] }).sentence, /too long/);
  assert.deepEqual(sheetOutputs({ ...sheet, stderr_tail: "no" }), {
    outputs: [{ label: "Error output", text: "no" }],
    sentence: "",
  });
});

test("validations are read in each form that the conductor writes", () => {
  const sheet = { number: 1, status: "failed" };
  const details = [
    { description: "report exists", passed: true },
    { description: "names all", passed: false, failure_reason: "3 of 4" },
    { odd: 1 },
    "text",
  ];
  assert.deepEqual(listValidations({ ...sheet, validation_details: details }), [
    { label: "report exists", passed: true },
    { label: "names all: 3 of 4", passed: false },
    { label: '{"odd":1}', passed: null },
    { label: "text", passed: null },
  ]);
  const lists = { passed_validations: ["a"], failed_validations: ["b"], validation_details: 7 };
  assert.deepEqual(listValidations({ ...sheet, ...lists }), [
    { label: "b", passed: false },
    { label: "a", passed: true },
  ]);
});
