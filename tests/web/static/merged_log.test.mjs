import assert from "node:assert/strict";
import { test } from "node:test";

import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { MergedLog } from "../../../marianne_stream/web/static/js/model/merged_log.js";
import { logsUrl, parseLogJobs } from "../../../marianne_stream/web/static/js/model/page_urls.js";

const A = { id: "a", colour: 0 };
const B = { id: "b", colour: 1 };

/**
 * @param {number} number of the line.
 * @param {string} [loggedAt]
 */
function event(number, loggedAt) {
  const value = { line: `line ${number}`, line_number: number, initial: true, logged_at: loggedAt };
  return { event: "log", id: `c${number}`, data: JSON.stringify(value), at: 5 };
}

/** @param {LogWindow} window */
function shown(window) {
  return window.rows.map(({ job, number }) => `${job?.id}${number}`).join(" ");
}

test("lines of several jobs are in the order of their own times", () => {
  const window = new LogWindow();
  const log = new MergedLog(window);
  log.addEvents(A, [event(1, "2026-11-24T03:00:01"), event(2, "2026-11-24T03:00:03Z")]);
  log.addEvents(B, [event(1, "2026-11-24T04:00:02+01:00"), event(2, "2026-11-24T03:00:03.5")]);
  assert.deepEqual(log.flush(), { added: 4, dropped: 0, isInOrder: true });
  assert.equal(shown(window), "a1 b1 a2 b2");
  log.addEvents(A, [event(3, "2026-11-24T03:00:03.123456789")]);
  assert.equal(log.flush().isInOrder, false);
  assert.equal(shown(window), "a1 b1 a2 a3 b2");
  assert.ok(!log.hasPending);
});

test("lines without a time stay behind the line of their job, and join its entry", () => {
  const window = new LogWindow();
  const log = new MergedLog(window);
  log.addEvents(A, [event(1, "2026-11-24T03:00:01"), event(2), event(3)]);
  log.addEvents(B, [event(1, "2026-11-24T03:00:02")]);
  log.flush();
  assert.equal(shown(window), "a1 a2 a3 b1");
  assert.equal(window.rows[0].entry?.lineCount, 3);
  log.addEvents(B, [event(4, "2026-11-24T03:00:00")]);
  log.flush();
  assert.equal(shown(window), "b4 a1 a2 a3 b1");
  assert.equal(window.rows[1].entry?.lineCount, 3);
  // Line 2 of another job does not continue the entry of line 1.
  log.addEvents({ id: "c", colour: 2 }, [{ ...event(2), at: Date.parse("2026-11-24T03:00:02Z") }]);
  log.flush();
  assert.equal(shown(window), "b4 a1 a2 a3 b1 c2");
  assert.equal(window.rows[5].entry, undefined);
});

test("first pages of logs are merged, and followed by the streams", () => {
  const window = new LogWindow();
  const log = new MergedLog(window);
  const line = (/** @type {number} */ number, /** @type {string | null} */ loggedAt) => ({
    line: `line ${number}`,
    line_number: number,
    cursor: `c${number}`,
    logged_at: loggedAt,
  });
  const at = Date.parse("2026-11-24T03:00:02Z");
  log.addPage(A, { lines: [line(1, "2026-11-24T03:00:01Z"), line(2, null)], before: null }, at);
  log.addPage(B, { lines: [line(1, null), line(2, "2026-11-24T03:00:03Z")], before: null }, at);
  log.flush();
  assert.equal(shown(window), "a1 a2 b1 b2");
  log.addEvents(A, [event(3)]);
  log.flush();
  assert.equal(shown(window), "a1 a2 a3 b1 b2");
});

test("merged log keeps the newest rows, and starts anew", () => {
  const window = new LogWindow({ maxRows: 10 });
  const log = new MergedLog(window);
  log.addEvents(
    A,
    Array.from({ length: 30 }, (_, index) => event(index + 1)),
  );
  assert.ok(log.flush().dropped > 0);
  assert.equal(window.rows.at(-1)?.number, 30);
  log.clear();
  assert.equal(window.rows.length, 0);
  assert.equal(window.before, null);
});

test("address of a view of logs names its jobs", () => {
  const url = new URL(logsUrl(["a b", "c/d&e"]), "http://host");
  assert.deepEqual(parseLogJobs(url.pathname, url.search), ["a b", "c/d&e"]);
  assert.deepEqual(parseLogJobs("/logs", "?job=a&job=a&job="), ["a"]);
  assert.deepEqual(parseLogJobs("/logs", ""), []);
  assert.equal(parseLogJobs("/jobs/a", "?job=a"), null);
});
