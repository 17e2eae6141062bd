import assert from "node:assert/strict";
import { test } from "node:test";

import { LineSelection } from "../../../marianne_stream/web/static/js/model/line_selection.js";
import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { lineNumbers, logEvent, makePage, partialEvent, range, rowKinds } from "./log_pages.mjs";

test("log window appends stream events and prepends pages without a hole", () => {
  const window = new LogWindow();
  window.applyEvents(range(50, 60).map(logEvent));
  assert.equal(window.before, "c50");
  window.prepend(makePage(range(40, 50), "c40"));
  assert.deepEqual(lineNumbers(window), range(40, 60));
  assert.equal(window.firstSerial, -10);
  assert.equal(window.before, "c40");
  assert.equal(window.findCursor("c55"), 5);
  assert.equal(window.getRow(5)?.number, 55);
  window.prepend(makePage(range(30, 40), null));
  assert.equal(window.before, null);
});

test("full log window drops rows at the other end and moves its cursors", () => {
  const window = new LogWindow({ maxRows: 100 });
  window.applyEvents(range(0, 150).map(logEvent));
  assert.equal(window.rows.length, 90);
  assert.equal(window.before, "c60");
  assert.ok(window.atEnd);
  window.prepend(makePage(range(0, 60)));
  assert.equal(window.rows.length, 90);
  assert.ok(!window.atEnd);
  assert.equal(window.applyEvents([logEvent(150), logEvent(151)]).received, 2);
  assert.equal(window.lastCursor, "c89");
  assert.equal(window.after, "c89");
  window.append({ ...makePage(range(90, 95)), after: "c94" });
  assert.equal(window.lastCursor, "c94");
});

test("log window limits characters and keeps rows while the reader does not follow", () => {
  const window = new LogWindow({ maxRows: 1000, maxChars: 1000 });
  window.applyEvents(range(0, 200).map(logEvent));
  assert.ok(window.rows.length < 140);
  const first = window.firstSerial;
  const change = window.applyEvents(range(200, 500).map(logEvent), { keepRows: true });
  assert.equal(window.firstSerial, first);
  assert.equal(change.dropped, 0);
  assert.equal(change.received, 300);
  assert.ok(!window.atEnd);
  assert.equal(window.after, window.lastCursor);
});

test("selection contains only lines of the window", () => {
  const window = new LogWindow();
  window.applyEvents(range(0, 10).map(logEvent));
  const selection = new LineSelection(window);
  selection.select(5);
  selection.select(2, { extend: true });
  assert.deepEqual(
    selection.lines.map(({ number }) => number),
    [2, 3, 4, 5],
  );
  window.prepend(makePage([90, 91]));
  assert.deepEqual(
    selection.lines.map(({ number }) => number),
    [2, 3, 4, 5],
  );
  window.replace({ ...makePage(range(50, 60)), after: "" });
  assert.deepEqual(selection.lines, []);
  selection.select(window.firstSerial, { extend: true });
  assert.equal(selection.lines.length, 1);
});

test("rotation, gap and end become markers, as do line numbers that start again", () => {
  const window = new LogWindow();
  /**
   * @param {string} event
   * @param {object} data
   */
  const mark = (event, data) => ({ event, id: "", data: JSON.stringify(data) });
  window.applyEvents([
    logEvent(5),
    mark("log_rotated", { reason: "renamed", log_file: "marianne.log" }),
    logEvent(1),
    mark("log_complete", { message: "" }),
  ]);
  assert.deepEqual(rowKinds(window), ["line", "rotated", "line", "end"]);
  window.prepend(makePage([8, 9, 1, 2, 3, 4]));
  assert.deepEqual(rowKinds(window).slice(0, 4), ["line", "line", "rotated", "line"]);
});

test("line is found by its cursor after its file was compressed", () => {
  const window = new LogWindow();
  /**
   * @param {number} number
   * @param {string} cursor
   */
  const line = (number, cursor) => ({ line: "", line_number: number, cursor, truncated: false });
  window.replace({ lines: [line(1, "l-2f-aa-10-1-bb"), line(2, "l-2f-aa-20-2-cc")], before: null });
  assert.equal(window.findCursor("l-77-aa-20-2-cc") - window.firstSerial, 1);
  assert.ok(!window.has(window.findCursor("l-77-aa-30-3-dd")));
});

test("unknown cursor clears the window", () => {
  const window = new LogWindow();
  window.applyEvents([logEvent(1), logEvent(2)]);
  const gap = { event: "log_gap", id: "", data: '{"reason":"cursor_expired","lost_bytes":null}' };
  assert.ok(window.applyEvents([gap, logEvent(1)]).cleared);
  assert.deepEqual(rowKinds(window), ["gap", "line"]);
});

test("first line of a log removes the marker that there is none", () => {
  const window = new LogWindow();
  const missing = { ...logEvent(0), event: "log_missing", data: "{}" };
  window.applyEvents([missing, missing]);
  assert.deepEqual(rowKinds(window), ["missing"]);
  const change = window.applyEvents([logEvent(0), logEvent(1)]);
  assert.ok(change.cleared);
  assert.equal(change.added, 2);
  assert.deepEqual(rowKinds(window), ["line", "line"]);
  assert.equal(window.before, "c0");
});

test("first line of a log that is still written takes the place of the missing log", () => {
  const window = new LogWindow();
  window.applyEvents([{ event: "log_missing", id: "", data: '{"detail":"none"}' }]);
  assert.deepEqual(rowKinds(window), ["missing"]);
  assert.ok(window.applyEvents([partialEvent("unfin")]).cleared);
  assert.deepEqual([rowKinds(window), window.partial?.text], [[], "unfin"]);
  assert.ok(!window.isMissing);
});

test("log window keeps a partial line until a whole line replaces it", () => {
  const window = new LogWindow();
  assert.deepEqual(window.applyEvents([logEvent(1), partialEvent("unfin")]).received, 1);
  assert.deepEqual(window.partial, { text: "unfin", number: 2 });
  assert.deepEqual(lineNumbers(window), [1]);
  assert.equal(window.lastCursor, "c1");
  window.applyEvents([partialEvent("unfinished")]);
  assert.equal(window.partial.text, "unfinished");
  window.applyEvents([logEvent(2)]);
  assert.equal(window.partial, null);
  window.applyEvents([partialEvent("gone"), partialEvent("")]);
  assert.equal(window.partial, null);
});
