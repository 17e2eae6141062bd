import assert from "node:assert/strict";
import { test } from "node:test";

import { LineSelection } from "../../../marianne_stream/web/static/js/model/line_selection.js";
import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import {
  MERGE_DELAY_MS,
  MergedLog,
} from "../../../marianne_stream/web/static/js/model/merged_log.js";
import { logsUrl, parseLogsUrl } from "../../../marianne_stream/web/static/js/model/page_urls.js";

/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogPage} LogPage */

const A = { id: "a", colour: 0 };
const B = { id: "b", colour: 1 };

const START = Date.parse("2026-11-24T03:00:00Z");

/**
 * @param {number} number of the line.
 * @param {string} [loggedAt]
 * @param {string} [readAt]
 */
function event(number, loggedAt, readAt) {
  const value = {
    line: `line ${number}`,
    line_number: number,
    initial: !readAt,
    timestamp: readAt,
    logged_at: loggedAt,
  };
  return { event: "log", id: `c${number}`, data: JSON.stringify(value), at: START };
}

/**
 * @param {string} name
 * @param {object} data
 */
function marker(name, data = {}) {
  return { event: name, id: "", data: JSON.stringify(data), at: START };
}

/**
 * @param {(string | null)[]} times that the lines give, from the first on.
 * @param {string | null} before
 * @param {number} first number of the first line.
 * @returns {LogPage}
 */
function makePage(times, before = null, first = 1) {
  const lines = times.map((loggedAt, index) => ({
    line: `line ${first + index}`,
    line_number: first + index,
    cursor: `c${first + index}`,
    logged_at: loggedAt && `2026-11-24T03:${loggedAt}Z`,
  }));
  return { lines, before, after: lines.at(-1)?.cursor, stopped_by: "limit" };
}

/** Merged log of two jobs, to which lines come at successive times. */
class Merging {
  #now = 0;
  window;
  log;

  constructor({ maxRows = 1000 } = {}) {
    this.window = new LogWindow({ maxRows });
    this.log = new MergedLog(this.window, [A, B]);
  }

  /**
   * @param {typeof A} job
   * @param {...ReturnType<typeof event>} events
   */
  receive(job, ...events) {
    this.#now += 1;
    return this.log.addEvents(job, events, this.#now);
  }

  /** Show all that has come. */
  flush({ keepRows = false } = {}) {
    this.#now += MERGE_DELAY_MS;
    return this.log.flush(this.#now, { keepRows });
  }

  /**
   * @param {LogPage | null} a
   * @param {LogPage | null} b
   * @param {number} from
   */
  open(a, b, from = Infinity) {
    const isAtEnd = () => from === Infinity;
    this.log.open([a, b], { from, isAtEnd, receivedAt: START });
  }

  get shown() {
    return this.window.rows.map(({ job, number }) => `${job?.id}${number}`).join(" ");
  }
}

test("lines of several jobs are in the order of their own times", () => {
  const merging = new Merging();
  merging.log.localOffset = "+0545";
  merging.log.clear();
  merging.receive(A, event(1, "2026-11-24T08:45:01"), event(2, "2026-11-24T03:00:03Z"));
  merging.receive(B, event(1, "2026-11-24T04:00:02+01:00"), event(2, "2026-11-24T08:45:03.5"));
  assert.deepEqual(merging.flush()?.insertedAt, []);
  assert.equal(merging.shown, "a1 b1 a2 b2");
  merging.receive(A, event(3, "2026-11-24T03:00:03.123456789"));
  assert.deepEqual(merging.flush()?.insertedAt, [3]);
  assert.equal(merging.shown, "a1 b1 a2 a3 b2");
  assert.ok(!merging.log.hasPending);
});

test("new lines of jobs whose lines come at different delays are only added at the end", () => {
  const { log, window } = new Merging({ maxRows: 100_000 });
  const arrivals = [];
  for (let at = 0; at < 10_000; at += 2) {
    arrivals.push({ cameAt: at + (at % 5), job: A, at });
    arrivals.push({ cameAt: at + 30 + (at % 7), job: B, at: at + 1 });
  }
  arrivals.sort((a, b) => a.cameAt - b.cameAt);
  let next = 125;
  let merges = 0;
  for (const [index, { cameAt, job, at }] of arrivals.entries()) {
    while (cameAt > next) {
      merges += 1;
      assert.deepEqual(log.flush(next)?.insertedAt ?? [], []);
      next += 125;
    }
    log.addEvents(job, [event(index + 1, new Date(START + at).toISOString())], cameAt);
  }
  assert.ok(merges > 50);
  log.flush(next + MERGE_DELAY_MS);
  assert.equal(window.rows.length, 10_000);
});

test("lines without a time stay behind the line of their job, and join its entry", () => {
  const merging = new Merging();
  merging.receive(A, event(1, "2026-11-24T03:00:01"), event(2), event(3));
  merging.receive(B, event(1, "2026-11-24T03:00:02"));
  merging.flush();
  assert.equal(merging.shown, "a1 a2 a3 b1");
  assert.equal(merging.window.rows[0].entry?.lineCount, 3);
  merging.receive(A, event(4));
  merging.flush();
  assert.equal(merging.shown, "a1 a2 a3 a4 b1");
  assert.equal(merging.window.rows[0].entry?.lineCount, 4);
});

test("new lines of a log without times have those at which they were read", () => {
  const merging = new Merging();
  merging.open(null, makePage([null]));
  merging.receive(A, event(1, "2026-11-24T03:00:01Z"), event(2, "2026-11-24T03:03:00Z"));
  merging.flush();
  merging.receive(B, event(2, undefined, "2026-11-24T03:04:00Z"));
  merging.flush();
  assert.equal(merging.shown, "b1 a1 a2 b2");
  // Neither does a line belong to an entry that ended 200 lines above.
  const lines = Array.from({ length: 300 }, (_, index) =>
    event(index + 3, undefined, "2026-11-24T03:07:00Z"),
  );
  merging.receive(A, event(3, "2026-11-24T03:06:00Z"));
  merging.receive(B, event(3, "2026-11-24T03:05:00Z"), ...lines.slice(1));
  merging.flush();
  const rows = merging.window.rows.filter(({ kind, job }) => kind === "line" && job === B);
  assert.equal(new Date(rows[100].at ?? 0).toISOString(), "2026-11-24T03:05:00.000Z");
  assert.equal(new Date(rows[250].at ?? 0).toISOString(), "2026-11-24T03:07:00.000Z");
});

test("a wrong time far ahead does not keep later lines of its job at the end", () => {
  const merging = new Merging();
  merging.receive(A, event(1, "2026-11-24T03:00:01Z"), event(2, "2099-01-01T00:00:00Z"));
  merging.receive(A, event(3, "2026-11-24T03:00:02Z"));
  merging.receive(B, event(1, "2026-11-24T03:00:03Z"));
  merging.flush();
  assert.equal(merging.shown, "a1 a2 a3 b1");
});

test("selected lines stay selected, and entries folded, when an earlier line comes", () => {
  const merging = new Merging();
  const { window } = merging;
  const selection = new LineSelection(window);
  merging.receive(A, event(1, "2026-11-24T03:00:01Z"), event(2, "2026-11-24T03:00:03Z"), event(3));
  merging.flush();
  selection.select(window.firstSerial + 1);
  const { entry } = window.rows[1];
  assert.ok(entry);
  entry.isOpen = false;
  merging.receive(B, event(9, "2026-11-24T03:00:02Z"));
  const change = merging.flush();
  assert.ok(change);
  selection.move(change.moved);
  assert.equal(merging.shown, "a1 b9 a2 a3");
  assert.deepEqual(
    selection.lines.map(({ job, number }) => `${job?.id}${number}`),
    ["a2"],
  );
  assert.equal(window.rows[2].entry?.isOpen, false);
});

test("lines are shown from where the logs of all jobs are loaded, and older ones behind it", () => {
  const merging = new Merging();
  merging.open(makePage(["01:00", "02:00", "05:00"], "c1"), makePage([null, "03:00"], "c8", 8));
  assert.equal(merging.shown, "b9 a3");
  assert.equal(merging.window.before, "");
  assert.equal(merging.log.showOlder(), null);
  assert.deepEqual(merging.log.olderPages, [{ job: B, before: "c8" }]);
  merging.log.addOlder(B, "c8", makePage(["00:30", "01:30"], "c6", 6));
  assert.deepEqual(merging.log.showOlder(), { added: 4 });
  // The time of line 8, which it does not give, is that of line 7.
  assert.equal(merging.shown, "a1 b7 b8 a2 b9 a3");
  merging.log.addOlder(A, "c1", makePage([], null));
  merging.log.addOlder(B, "c6", makePage([null, null], null, 4));
  merging.log.showOlder();
  assert.equal(merging.shown, "b4 b5 b6 a1 b7 b8 a2 b9 a3");
  assert.equal(merging.window.before, null);
});

test("older lines of a log without times are not shown in a place of which nothing is known", () => {
  const merging = new Merging();
  merging.open(makePage([null, null], "c1"), makePage(["01:00"]));
  assert.deepEqual(
    merging.window.rows.map(({ kind }) => kind),
    ["untimed", "line", "line", "line"],
  );
  assert.equal(merging.window.before, null);
});

test("older lines that are no longer in the log leave a mark", () => {
  const merging = new Merging();
  merging.open(makePage([null, "02:00"], "c1"), makePage(["01:00"]));
  merging.log.loseOlder(A, "c1", "");
  merging.log.showOlder();
  assert.equal(merging.shown, "b1 a0 a1 a2");
  assert.equal(merging.window.rows[1].kind, "gap");
});

test("log of which another one takes the place has to be opened anew", () => {
  const merging = new Merging();
  assert.ok(merging.receive(A, event(1, "2026-11-24T03:00:01Z")));
  const isSame = merging.receive(
    A,
    marker("log_gap", { reason: "cursor_expired" }),
    event(1, "2026-11-24T03:00:01Z"),
  );
  assert.ok(!isSame);
});

test("new connections of a job without a log say so once", () => {
  const merging = new Merging();
  for (let connection = 0; connection < 3; connection += 1) {
    merging.receive(A, marker("log_missing", { detail: "none" }));
    merging.flush();
  }
  assert.equal(merging.window.rows.length, 1);
});

test("reader who does not follow keeps the lines, up to the limit", () => {
  const merging = new Merging({ maxRows: 10 });
  const lines = Array.from({ length: 30 }, (_, index) => event(index + 1));
  merging.receive(A, ...lines.slice(0, 9));
  merging.flush({ keepRows: true });
  merging.receive(A, ...lines.slice(9, 20));
  assert.deepEqual(merging.flush({ keepRows: true })?.dropped, []);
  assert.equal(merging.window.rows[0].number, 1);
  merging.receive(A, ...lines.slice(20));
  assert.equal(merging.flush({ keepRows: true }), null);
  assert.ok(!merging.log.isAtEnd);
  assert.deepEqual(merging.log.newerPages, [{ job: A, after: "c30" }]);
  merging.log.addNewer(A, "c30", { ...makePage([]), stopped_by: "end" }, START);
  merging.log.showNewer();
  assert.ok(merging.log.isAtEnd);
  assert.equal(merging.window.rows.at(-1)?.number, 30);
});

test("new lines that wait are all kept while older ones are shown", () => {
  const merging = new Merging({ maxRows: 10_000 });
  merging.open(makePage(["00:01"], "c2", 2), makePage(["00:02"]));
  const lines = Array.from({ length: 1500 }, (_, index) => event(index + 3));
  merging.receive(A, ...lines);
  merging.log.addOlder(A, "c2", makePage(["00:00"]));
  merging.log.showOlder();
  merging.flush();
  assert.equal(merging.window.rows.length, 1503);
});

test("merged log keeps the newest rows, and starts anew", () => {
  const merging = new Merging({ maxRows: 10 });
  merging.receive(A, ...Array.from({ length: 30 }, (_, index) => event(index + 1)));
  assert.ok(merging.flush()?.dropped.length);
  assert.equal(merging.window.rows.at(-1)?.number, 30);
  // Those that were dropped wait for a reader who scrolls back.
  assert.equal(merging.log.showOlder()?.added, 21);
  merging.log.clear();
  assert.equal(merging.window.rows.length, 0);
  assert.equal(merging.window.before, null);
});

test("address of a view of logs names its jobs, and what of them is shown", () => {
  const parse = (/** @type {string} */ path, /** @type {string} */ search) =>
    parseLogsUrl(path, search);
  const address = {
    jobIds: ["a b", "c/d&e"],
    level: "error",
    text: "a&b",
    time: "2026-11-24T03:00:00Z",
  };
  const url = new URL(logsUrl(address), "http://host");
  assert.deepEqual(parse(url.pathname, url.search), { ...address, leftOut: 0 });
  assert.equal(logsUrl({ jobIds: ["a"], level: "", time: "" }), "/logs?job=a");
  assert.deepEqual(parse("/logs", "?job=a&job=a&job=")?.jobIds, ["a"]);
  assert.deepEqual(parse("/logs", "")?.jobIds, []);
  assert.equal(parse("/jobs/a", "?job=a"), null);
  const many = parse("/logs", `?${[..."abcdefghij"].map((id) => `job=${id}`).join("&")}`);
  assert.equal(many?.jobIds.length, 8);
  assert.equal(many?.leftOut, 2);
});
