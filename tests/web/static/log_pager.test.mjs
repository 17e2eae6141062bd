import assert from "node:assert/strict";
import { test } from "node:test";

import { LogPager } from "../../../marianne_stream/web/static/js/model/log_pager.js";
import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { ApiError } from "../../../marianne_stream/web/static/js/wire/api.js";
import { lineNumbers, logEvent, makePage, range } from "./log_pages.mjs";

/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogPage} LogPage */

/**
 * Make a pager whose requests the test answers.
 *
 * @param {LogWindow} window
 */
function makePager(window) {
  /** @type {({resolve: (page: LogPage) => void, reject: (error: Error) => void} & Record<string, unknown>)[]} */
  const requests = [];
  /** @type {[string, unknown?][]} */
  const calls = [];
  const pager = new LogPager(
    window,
    (query, signal) =>
      new Promise((resolve, reject) => {
        requests.push({ ...query, resolve, reject });
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
    {
      onOlder: (change) => calls.push(["onOlder", change]),
      onNewer: (change) => calls.push(["onNewer", change]),
      onReplaced: () => calls.push(["onReplaced"]),
      onNewest: (cursor) => calls.push(["onNewest", cursor]),
      onEndReached: (cursor) => calls.push(["onEndReached", cursor]),
      onEndLost: () => calls.push(["onEndLost"]),
      onMessage: (sentence) => calls.push(["onMessage", sentence]),
    },
  );
  return { pager, requests, calls };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("pager continues an empty page at its cursor", async () => {
  const window = new LogWindow();
  window.applyEvents([logEvent(900)]);
  const { pager, requests } = makePager(window);
  pager.loadOlder();
  requests[0].resolve(makePage([], "c500"));
  await nextTurn();
  pager.loadOlder();
  assert.deepEqual(
    requests.map(({ before }) => before),
    ["c900", "c500"],
  );
  pager.loadOlder();
  assert.equal(requests.length, 2);
});

test("pager ignores a page that no longer joins the window", async () => {
  const window = new LogWindow({ maxRows: 100 });
  window.applyEvents(range(1000, 1050).map(logEvent));
  const { pager, requests } = makePager(window);
  pager.loadOlder();
  window.applyEvents(range(1050, 1200).map(logEvent));
  requests[0].resolve(makePage(range(900, 1000), "c900"));
  await nextTurn();
  const held = lineNumbers(window);
  assert.deepEqual(held, range(held[0], held[0] + held.length));
});

test("jump replaces the request in progress, and an error pauses the pager", async () => {
  const window = new LogWindow();
  window.applyEvents([logEvent(900)]);
  const { pager, requests, calls } = makePager(window);
  pager.loadOlder();
  const jumped = pager.jumpTo("c5");
  requests[1].resolve({ ...makePage([4, 5, 6], "c4"), after: "c6" });
  assert.ok(await jumped);
  assert.deepEqual(lineNumbers(window), [4, 5, 6]);
  const newer = pager.loadNewer();
  requests[2].reject(new Error("no"));
  assert.ok(!(await newer));
  assert.deepEqual(calls.at(-1), ["onMessage", "no"]);
  pager.loadNewer();
  assert.equal(requests.length, 3);
});

test("last page reports the cursor at which a stream continues", async () => {
  const window = new LogWindow();
  window.replace({ ...makePage([1, 2], null), after: "c2" });
  const { pager, requests, calls } = makePager(window);
  const newer = pager.loadNewer();
  requests[0].resolve({ ...makePage([3], "c2"), after: "c3", stopped_by: "end" });
  await newer;
  assert.ok(window.atEnd);
  assert.deepEqual(calls.at(-1), ["onEndReached", "c3"]);
});

test("newest page is the end of the log, and gives the cursor to follow from", async () => {
  const window = new LogWindow();
  const { pager, requests, calls } = makePager(window);
  pager.loadNewest();
  const partial = { line: "loading", line_number: 10 };
  const page = { ...makePage([8, 9], "c8"), after: "c9", partial };
  requests[0].resolve(page);
  await nextTurn();
  assert.deepEqual(lineNumbers(window), [8, 9]);
  assert.deepEqual([window.atEnd, window.before], [true, "c8"]);
  assert.deepEqual(window.partial, { text: "loading", number: 10 });
  assert.deepEqual(calls.at(-1), ["onNewest", "c9"]);
});

test("without a newest page a stream is asked, unless another request came", async () => {
  const window = new LogWindow();
  const { pager, requests, calls } = makePager(window);
  const missing = pager.loadNewest();
  // Of a stream that ends once the page is here.
  window.applyEvents([logEvent(1)]);
  requests[0].reject(new Error("no log"));
  assert.equal(await missing, true);
  assert.deepEqual(calls.at(-1), ["onNewest", ""]);
  assert.deepEqual(lineNumbers(window), []);
  const replaced = pager.loadNewest();
  pager.jumpTo("c5");
  assert.equal(await replaced, false);
  assert.equal(calls.filter(([name]) => name === "onNewest").length, 1);
});

test("log is not followed with parameters that the server refuses", async () => {
  const { pager, requests, calls } = makePager(new LogWindow());
  const loaded = pager.loadNewest();
  requests[0].reject(Object.assign(new Error("regex is invalid"), { status: 400 }));
  assert.equal(await loaded, true);
  assert.deepEqual(calls, [["onMessage", "regex is invalid"]]);
});

test("newest page without a match says that the search goes on, and older pages are loaded", async () => {
  const { pager, requests, calls } = makePager(new LogWindow());
  const loaded = pager.loadNewest();
  requests[0].resolve({ ...makePage([], "c500"), after: "c900", stopped_by: "time" });
  await loaded;
  assert.deepEqual(calls, [
    ["onMessage", "Searching older lines …"],
    ["onNewest", "c900"],
  ]);
  pager.loadOlder();
  assert.equal(requests[1].before, "c500");
  requests[1].resolve(makePage([7], null));
  await nextTurn();
  assert.deepEqual(calls.slice(2), [
    ["onOlder", { added: 1 }],
    ["onMessage", ""],
  ]);
});

test("matches written since are loaded with the lines around them, each line once", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const window = new LogWindow();
  const { pager, requests, calls } = makePager(window);
  const page = makePage([4, 5, 6], "c4");
  page.lines.forEach((line) => (line.match = line.line_number === 5));
  const loaded = pager.loadNewest();
  requests[0].resolve({ ...page, after: "c6" });
  await loaded;
  pager.loadWrittenSoon();
  pager.loadWrittenSoon();
  context.mock.timers.tick(1_000);
  assert.deepEqual([requests.length, requests[1].after], [2, "c6"]);
  const newer = makePage([5, 6, 7, 8], "c5");
  newer.lines.forEach((line) => (line.match = line.line_number === 6));
  requests[1].resolve({ ...newer, after: "c8", stopped_by: "end" });
  await nextTurn();
  assert.deepEqual(lineNumbers(window), [4, 5, 6, 7, 8]);
  assert.deepEqual(
    window.rows.map(({ isMatch }) => isMatch),
    [false, true, true, false, false],
  );
  assert.deepEqual(calls.at(-1), ["onNewer", { added: 2, dropped: 0 }]);
  pager.loadWrittenSoon();
  pager.cancel();
  context.mock.timers.tick(1_000);
  assert.equal(requests.length, 2);
});

test("new matches of a log that was cut, or without a position, tell that its end is lost", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const window = new LogWindow();
  window.replace({ ...makePage([1, 2], null), after: "c2" }, { atEnd: true });
  const { pager, requests, calls } = makePager(window);
  const load = () => {
    pager.loadWrittenSoon();
    context.mock.timers.tick(1_000);
  };
  load();
  requests[0].reject(new ApiError(0, "unreachable", "away"));
  await nextTurn();
  // It is tried again by itself.
  for (let second = 0; second < 3; second += 1) context.mock.timers.tick(1_000);
  requests[1].reject(Object.assign(new Error("gone"), { code: "cursor_expired" }));
  await nextTurn();
  assert.deepEqual(calls.at(-1), ["onEndLost"]);
  load();
  context.mock.timers.tick(1_000);
  requests[2].reject(new ApiError(404, "log_not_found", "gone"));
  await nextTurn();
  for (let second = 0; second < 9; second += 1) context.mock.timers.tick(1_000);
  assert.equal(requests.length, 3);
  window.applyEvents([{ event: "log_gap", id: "", data: '{"reason":"cursor_expired"}' }]);
  for (let second = 0; second < 2; second += 1) context.mock.timers.tick(1_000);
  calls.length = 0;
  load();
  assert.deepEqual(calls, [["onEndLost"]]);
});

test("page that cannot be read is not requested again until the next jump", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  const window = new LogWindow();
  window.replace({ ...makePage([5, 6], "c4"), after: "c6" });
  const { pager, requests, calls } = makePager(window);
  /** @param {number} index @param {ApiError} error */
  const refuse = async (index, error) => {
    requests[index].reject(error);
    await nextTurn();
    context.mock.timers.tick(60_000);
    pager.loadOlder();
  };
  pager.loadOlder();
  await refuse(0, new ApiError(503, "log_counting", "Counting."));
  assert.equal(requests.length, 2);
  await refuse(1, new ApiError(422, "read_limit", "Too much."));
  assert.equal(requests.length, 2);
  assert.deepEqual(calls.at(-1), ["onMessage", "Too much."]);
  // The other end of the window is not concerned.
  pager.loadNewer();
  assert.equal(requests[2].after, "c6");
  pager.cancel();
  pager.loadOlder();
  assert.equal(requests[3].before, "c4");
});

test("message of a failed request is removed with the next page", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  const window = new LogWindow();
  window.replace({ ...makePage([1, 2], null), after: "c2" });
  const { pager, requests, calls } = makePager(window);
  const failed = pager.loadNewer();
  requests[0].reject(new ApiError(0, "unreachable", "away"));
  await failed;
  context.mock.timers.tick(2_000);
  const loaded = pager.loadNewer();
  requests[1].resolve({ ...makePage([3], "c2"), after: "c3" });
  await loaded;
  assert.deepEqual(
    calls.filter(([name]) => name === "onMessage"),
    [
      ["onMessage", "away"],
      ["onMessage", ""],
    ],
  );
});
