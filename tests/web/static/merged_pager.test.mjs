import assert from "node:assert/strict";
import { test } from "node:test";

import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { MergedLog } from "../../../marianne_stream/web/static/js/model/merged_log.js";
import {
  END,
  MergedPager,
  START,
} from "../../../marianne_stream/web/static/js/model/merged_pager.js";
import { ApiError } from "../../../marianne_stream/web/static/js/wire/api.js";

/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogJob} LogJob */
/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogPage} LogPage */

const BEGIN = Date.parse("2026-11-24T03:00:00Z");

/**
 * Logs of three jobs of unlike speed, and their pages as the server gives them. Every third line of
 * the second log gives no time.
 */
function makeLogs(count = 4000) {
  const jobs = ["slow", "quick", "late"].map((id, colour) => ({ id, colour }));
  const [periods, starts] = [
    [997, 101, 53],
    [0, 1500, 900_000],
  ];
  const logs = jobs.map(({ id }, job) =>
    Array.from({ length: count }, (_, index) => ({
      line: `${id} ${index}`,
      line_number: index + 1,
      cursor: `${index + 1}`,
      logged_at:
        job === 1 && index % 3
          ? null
          : new Date(BEGIN + starts[job] + index * periods[job]).toISOString(),
    })),
  );
  return { jobs, logs };
}

/**
 * Return a page of a log as the server gives it.
 *
 * @param {ReturnType<typeof makeLogs>["logs"][number]} lines
 * @param {import("../../../marianne_stream/web/static/js/model/log_pager.js").PageQuery} query
 * @returns {LogPage}
 */
function readPage(lines, { before, after, from, time, limit }) {
  const size = Number(limit);
  const found = lines.findIndex(({ logged_at: at }) => at && at >= String(time));
  let first = lines.length - size;
  if (before) first = Number(before) - 1 - size;
  else if (after) first = Number(after);
  else if (from === "start") first = 0;
  else if (time && found >= 0) first = found - size / 2;
  const last = before ? Number(before) - 1 : Math.min(lines.length, Math.max(0, first) + size);
  const page = lines.slice(Math.max(0, first), last);
  return {
    lines: page,
    before: first > 0 ? (page[0]?.cursor ?? String(before ?? after)) : null,
    after: page.at(-1)?.cursor ?? String(after),
    stopped_by: last >= lines.length ? "end" : "limit",
    target: time && found >= 0 ? lines[found].cursor : null,
  };
}

/** Merged log of these, with a small window, and its pager. */
function openPager({ maxRows = 3000, count = 4000 } = {}) {
  const { jobs, logs } = makeLogs(count);
  const window = new LogWindow({ maxRows });
  const log = new MergedLog(window, jobs);
  const state = {
    ends: 0,
    expired: 0,
    messages: /** @type {string[]} */ ([]),
    missing: /** @type {unknown[]} */ ([]),
    requests: 0,
  };
  /** @type {Map<LogJob, ApiError>} */
  const errors = new Map();
  const pager = new MergedPager({
    jobs,
    log,
    fetchPage: async (job, query) => {
      state.requests += 1;
      const error = errors.get(job);
      if (error) throw error;
      return readPage(logs[jobs.indexOf(job)], query);
    },
    now: () => BEGIN + 1e9,
    onOlder: () => {},
    onNewer: () => {},
    onEndReached: () => (state.ends += 1),
    onExpired: () => (state.expired += 1),
    onMessage: (sentence) => state.messages.push(sentence),
    onMissing: (missing) => state.missing.push(...missing),
  });
  return { jobs, logs, window, log, pager, state, errors };
}

/**
 * Check that the window has the lines of each job without a hole, in the order of their times.
 *
 * @param {LogWindow} window
 * @param {LogJob[]} jobs
 */
function checkOrder({ rows }, jobs) {
  for (const [index, { at = 0 }] of rows.entries()) {
    assert.ok(index === 0 || at >= (rows[index - 1].at ?? 0));
  }
  return jobs.map((job) => {
    const numbers = rows.filter((row) => row.job === job).map(({ number }) => number);
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => numbers[0] + index),
    );
    return numbers;
  });
}

test("reader scrolls from the end to the beginning of all logs, and back", async () => {
  const { jobs, window, log, pager, state } = openPager();
  await pager.open(END);
  assert.ok(log.isAtEnd);
  assert.equal(window.rows.at(-1)?.number, 4000);
  const seen = new Set(window.rows);
  for (let page = 0; page < 100 && window.before !== null; page += 1) {
    await pager.loadOlder();
    checkOrder(window, jobs);
    assert.ok(window.rows.length <= 3000);
    for (const row of window.rows) seen.add(row);
  }
  assert.equal(window.before, null);
  assert.ok(!log.isAtEnd);
  const numbers = new Set([...seen].map(({ job, number }) => `${job?.id} ${number}`));
  assert.equal(numbers.size, 12_000);
  for (let page = 0; page < 100 && !log.isAtEnd; page += 1) {
    await pager.loadNewer();
    checkOrder(window, jobs);
  }
  assert.equal(state.ends, 1);
  assert.deepEqual(
    jobs.map((job) => log.cursorOf(job)),
    ["4000", "4000", "4000"],
  );
  assert.equal(window.rows.at(-1)?.text, "slow 3999");
});

test("logs open at their beginning, and at a time", async () => {
  const { jobs, window, log, pager } = openPager();
  await pager.open(START);
  assert.equal(window.before, null);
  assert.ok(!log.isAtEnd);
  assert.equal(window.rows[0].text, "slow 0");
  checkOrder(window, jobs);
  const at = BEGIN + 300_000;
  await pager.open({ time: new Date(at).toISOString() });
  const [slow, quick] = checkOrder(window, jobs);
  assert.ok(slow.length > 0 && quick.length > 0);
  const next = window.rows.find((row) => (row.at ?? 0) >= at);
  assert.equal(next?.text, "slow 301");
  assert.equal(window.before, "");
});

test("logs open at their end for a time after all lines", async () => {
  const { window, log, pager } = openPager();
  const at = BEGIN + 1e8;
  await pager.open({ time: new Date(at).toISOString() });
  assert.ok(log.isAtEnd);
  assert.equal(window.rows.at(-1)?.text, "slow 3999");
});

test("job without a log does not keep the others from being shown", async () => {
  const { jobs, window, log, pager, errors } = openPager();
  errors.set(jobs[1], new ApiError(404, "log_not_found", "none"));
  await pager.open(END);
  assert.ok(log.isAtEnd);
  assert.equal(log.cursorOf(jobs[1]), "");
  assert.ok(window.rows.length > 0);
});

const READ_LIMIT = new ApiError(422, "read_limit", "Too much.");

test("log of which a place cannot be read is left out, and told", async () => {
  const { jobs, window, pager, errors, state } = openPager();
  errors.set(jobs[1], READ_LIMIT);
  const time = new Date(BEGIN + 300_000).toISOString();
  assert.ok(await pager.open({ time }));
  assert.equal(state.requests, jobs.length);
  assert.deepEqual(state.missing, [{ job: jobs[1], reason: "Too much." }]);
  const [slow, quick] = checkOrder(window, jobs);
  assert.deepEqual([slow.length > 0, quick.length], [true, 0]);
  state.missing.length = 0;
  // The stream of the log begins at its end, and tells whether there is one.
  assert.ok(await pager.open(END));
  assert.deepEqual(state.missing, []);
});

test("log of which a search found nothing in its time is told", async () => {
  const { jobs, pager, state } = openPager();
  const time = new Date(BEGIN + 1e8).toISOString();
  assert.ok(await pager.open({ time }));
  assert.deepEqual(state.missing, []);
  const log = new MergedLog(new LogWindow(), jobs);
  const slow = new MergedPager({
    jobs: jobs.slice(0, 1),
    log,
    fetchPage: async () => ({ lines: [], before: "9", after: "9", stopped_by: "time" }),
    now: () => BEGIN,
    onOlder: () => {},
    onNewer: () => {},
    onEndReached: () => {},
    onExpired: () => {},
    onMessage: () => {},
    onMissing: (missing) => state.missing.push(...missing),
  });
  await slow.open(START);
  assert.deepEqual(state.missing, []);
  await slow.open({ time });
  assert.equal(state.missing.length, 1);
});

test("pages of one job that cannot be read are marked, and the others go on", async () => {
  const { jobs, window, log, pager, errors, state } = openPager({ maxRows: 100_000 });
  await pager.open({ time: new Date(BEGIN + 2_000_000).toISOString() });
  errors.set(jobs[2], READ_LIMIT);
  while (window.before !== null) await pager.loadOlder();
  assert.equal(window.rows[0].text, "slow 0");
  while (!log.isAtEnd) await pager.loadNewer();
  assert.equal(window.rows.at(-1)?.text, "slow 3999");
  const seen = state.requests;
  await pager.loadNewer();
  assert.equal(state.requests, seen);
  assert.deepEqual(state.messages.filter(Boolean), []);
  const gap = window.rows.find(({ kind }) => kind === "gap");
  assert.deepEqual([gap?.job, gap?.data.detail], [jobs[2], "Too much."]);
});

test("pages that are gone are told apart from a server that does not respond", async () => {
  const { jobs, window, log, pager, errors, state } = openPager();
  await pager.open(START);
  for (const job of jobs) errors.set(job, new ApiError(410, "cursor_expired", "gone"));
  await pager.loadNewer();
  assert.equal(state.expired, 1);
  errors.clear();
  await pager.open(END);
  for (const job of jobs) errors.set(job, new ApiError(410, "cursor_expired", "gone"));
  const other = openPager();
  await other.pager.open(END);
  for (const job of other.jobs) other.errors.set(job, new ApiError(0, "unreachable", "No server."));
  await other.pager.loadOlder();
  assert.equal(other.state.messages.at(-1), "No server.");
  assert.equal(other.window.before, "");
  assert.ok(log.isAtEnd && window.rows.length);
});

test("lines that come while older ones are loaded leave no hole", async () => {
  const { jobs, logs, window, log, pager } = openPager({ maxRows: 1500 });
  await pager.open(END);
  const loading = pager.loadOlder();
  const lines = Array.from({ length: 4000 }, (_, index) => ({
    event: "log",
    id: `${index + 4001}`,
    at: BEGIN,
    data: JSON.stringify({
      line: `late ${index + 4000}`,
      line_number: index + 4001,
      logged_at: new Date(BEGIN + 4_000_000 + index).toISOString(),
    }),
  }));
  for (const line of lines) {
    const { line: text, line_number: number, logged_at: at } = JSON.parse(line.data);
    logs[2].push({ line: text, line_number: number, cursor: line.id, logged_at: at });
  }
  log.addEvents(jobs[2], lines, 0);
  log.flush(1000);
  await loading;
  checkOrder(window, jobs);
  while (window.before !== null) {
    await pager.loadOlder();
    checkOrder(window, jobs);
  }
  assert.equal(window.rows[0].text, "slow 0");
});

test("logs open once the server responds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { jobs, log, pager, errors, state } = openPager();
  for (const job of jobs) errors.set(job, new ApiError(0, "unreachable", "No server."));
  const opening = pager.open(END);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(state.messages, ["No server."]);
  errors.clear();
  t.mock.timers.tick(2_000);
  assert.ok(await opening);
  assert.equal(state.messages.at(-1), "");
  assert.ok(log.isAtEnd);
});

test("search goes on through pages without a match", async () => {
  const job = { id: "a", colour: 0 };
  const window = new LogWindow();
  const log = new MergedLog(window, [job]);
  /** @type {string[]} */
  const messages = [];
  const empty = { lines: [], after: "100", stopped_by: "time" };
  const match = { line: "found", line_number: 7, cursor: "7", logged_at: "2026-11-24T03:00:00Z" };
  /** @type {Record<string, LogPage>} */
  const pages = {
    100: { ...empty, before: "50" },
    50: { ...empty, before: "10" },
    10: { ...empty, lines: [match], before: null },
  };
  const pager = new MergedPager({
    jobs: [job],
    log,
    fetchPage: async (_, { before }) => pages[String(before ?? 100)],
    now: () => BEGIN,
    onOlder: () => {},
    onNewer: () => {},
    onEndReached: () => {},
    onExpired: () => {},
    onMessage: (sentence) => messages.push(sentence),
    onMissing: () => assert.fail(),
  });
  await pager.open(END);
  assert.equal(window.rows.length, 0);
  assert.equal(window.before, "");
  await pager.loadOlder();
  assert.equal(window.rows[0].text, "found");
  assert.deepEqual(messages, ["", "Searching older lines …", ""]);
});

test("log with times at its end only is read up to a limit", async () => {
  const { jobs, logs, window, pager, state } = openPager({ maxRows: 100_000, count: 150_000 });
  logs[0].forEach((line, index) => (line.logged_at = index < 149_990 ? null : line.logged_at));
  await pager.open(END);
  await pager.loadOlder();
  assert.deepEqual(state.messages.filter(Boolean), []);
  const own = window.rows.filter(({ job }) => job === jobs[0]);
  assert.equal(own[0].kind, "untimed");
  assert.ok(own.length < 7_000);
  // The other logs are still read.
  const count = window.rows.length;
  await pager.loadOlder();
  assert.ok(window.rows.length > count);
});
