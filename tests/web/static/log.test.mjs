import assert from "node:assert/strict";
import { test } from "node:test";

import { plain, runsOf } from "../../../marianne_stream/web/static/js/model/ansi.js";
import { Heights } from "../../../marianne_stream/web/static/js/model/heights.js";
import { jsonText, partsOf } from "../../../marianne_stream/web/static/js/model/log_line.js";
import { hashOf, rangeOf } from "../../../marianne_stream/web/static/js/model/log_link.js";
import { parametersOf, patternOf } from "../../../marianne_stream/web/static/js/model/log_query.js";
import { LogChoice } from "../../../marianne_stream/web/static/js/model/log_choice.js";
import { LogPager } from "../../../marianne_stream/web/static/js/model/log_pager.js";
import { LogSearch } from "../../../marianne_stream/web/static/js/model/log_search.js";
import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { replayOf } from "../../../marianne_stream/web/static/js/wire/replays.js";

const log = (number) => ({
  event: "log",
  id: `c${number}`,
  data: JSON.stringify({
    line: `line ${number}`,
    line_number: number,
    timestamp: "2026-11-24T00:00:00Z",
    initial: false,
  }),
});
const pageOf = (numbers, before = "b") => ({
  lines: numbers.map((number) => ({
    line: `line ${number}`,
    line_number: number,
    cursor: `c${number}`,
    truncated: false,
  })),
  before,
});
const numbers = (window) =>
  window.rows.filter(({ kind }) => kind === "line").map(({ number }) => number);
const range = (from, to) => Array.from({ length: to - from }, (_, index) => from + index);

test("a window takes what comes behind, pages in front, and stays without a hole", () => {
  const window = new LogWindow();
  window.take(range(50, 60).map(log));
  assert.equal(window.before, "c50");
  window.prepend(pageOf(range(40, 50), "c40"));
  assert.deepEqual(numbers(window), range(40, 60));
  assert.equal(window.first, -10);
  assert.equal(window.before, "c40");
  assert.equal(window.find("c55"), 5);
  assert.equal(window.row(5).number, 55);
  window.prepend(pageOf(range(30, 40), null));
  assert.equal(window.before, null);
});

test("a window lets go at the other end, and knows that it did", () => {
  const window = new LogWindow({ rows: 100 });
  window.take(range(0, 150).map(log));
  assert.equal(window.rows.length, 90);
  assert.equal(window.before, "c60");
  assert.ok(window.atEnd);
  window.prepend(pageOf(range(0, 60)));
  assert.equal(window.rows.length, 90);
  assert.ok(!window.atEnd);
  assert.equal(window.take([log(150), log(151)]).passed, 2);
  assert.equal(window.newest, "c89");
  assert.equal(window.after, "c89");
  window.extend({ ...pageOf(range(90, 95)), after: "c94" });
  assert.equal(window.newest, "c94");
});

test("long lines count for more, and who reads is not swept away", () => {
  const window = new LogWindow({ rows: 1000, chars: 1000 });
  window.take(range(0, 200).map(log));
  assert.ok(window.rows.length < 140);
  const first = window.first;
  const change = window.take(range(200, 500).map(log), { reading: true });
  assert.equal(window.first, first);
  assert.equal(change.dropped, 0);
  assert.equal(change.passed, 300);
  assert.ok(!window.atEnd);
  assert.equal(window.after, window.newest);
});

/** A pager over pages that are given when the test says so. */
function paged(window) {
  const asked = [];
  const told = [];
  const on = Object.fromEntries(
    ["older", "newer", "jumped", "joined", "say"].map((name) => [
      name,
      (value) => told.push([name, value]),
    ]),
  );
  const ask = (parameters, signal) =>
    new Promise((resolve, reject) => {
      asked.push({ ...parameters, give: resolve, fail: reject });
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  return { pager: new LogPager(window, ask, on), asked, told };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a page that finds nothing goes on where it stopped, and not where it began", async () => {
  const window = new LogWindow();
  window.take([log(900)]);
  const { pager, asked } = paged(window);
  pager.older();
  asked[0].give(pageOf([], "c500"));
  await turn();
  pager.older();
  assert.deepEqual(
    asked.map(({ before }) => before),
    ["c900", "c500"],
  );
  pager.older();
  assert.equal(asked.length, 2);
});

test("a page that no longer fits leaves no hole", async () => {
  const window = new LogWindow({ rows: 100 });
  window.take(range(1000, 1050).map(log));
  const { pager, asked } = paged(window);
  pager.older();
  window.take(range(1050, 1200).map(log));
  asked[0].give(pageOf(range(900, 1000), "c900"));
  await turn();
  const held = numbers(window);
  assert.deepEqual(held, range(held[0], held[0] + held.length));
});

test("a jump takes the place of what is under way, and a fault is told and waited out", async () => {
  const window = new LogWindow();
  window.take([log(900)]);
  const { pager, asked, told } = paged(window);
  pager.older();
  const jumped = pager.around("c5");
  asked[1].give({ ...pageOf([4, 5, 6], "c4"), after: "c6" });
  assert.ok(await jumped);
  assert.deepEqual(numbers(window), [4, 5, 6]);
  const newer = pager.newer();
  asked[2].fail(new Error("no"));
  assert.ok(!(await newer));
  assert.deepEqual(told.at(-1), ["say", "no"]);
  pager.newer();
  assert.equal(asked.length, 3);
});

test("at the end a stream goes on from the page", async () => {
  const window = new LogWindow();
  window.replace({ ...pageOf([1, 2], null), after: "c2" });
  const { pager, asked, told } = paged(window);
  const newer = pager.newer();
  asked[0].give({ ...pageOf([3], "c2"), after: "c3", stopped_by: "end" });
  await newer;
  assert.ok(window.atEnd);
  assert.deepEqual(told.at(-1), ["joined", "c3"]);
});

test("a choice is of the lines that are there, and of no others", () => {
  const window = new LogWindow();
  window.take(range(0, 10).map(log));
  const choice = new LogChoice(window);
  choice.choose(5);
  choice.choose(2, { extend: true });
  assert.deepEqual(
    choice.lines.map(({ number }) => number),
    [2, 3, 4, 5],
  );
  window.prepend(pageOf([90, 91]));
  assert.deepEqual(
    choice.lines.map(({ number }) => number),
    [2, 3, 4, 5],
  );
  window.replace({ ...pageOf(range(50, 60)), after: "" });
  assert.deepEqual(choice.lines, []);
  choice.choose(window.first, { extend: true });
  assert.equal(choice.lines.length, 1);
});

test("rotation, gap and end are marks, and numbers that begin again tell of a rotation", () => {
  const window = new LogWindow();
  const mark = (event, data) => ({ event, id: "", data: JSON.stringify(data) });
  window.take([
    log(5),
    mark("log_rotated", { reason: "renamed", log_file: "marianne.log" }),
    log(1),
    mark("log_complete", { message: "" }),
  ]);
  assert.deepEqual(
    window.rows.map(({ kind }) => kind),
    ["line", "rotated", "line", "end"],
  );
  window.prepend(pageOf([8, 9, 1, 2, 3, 4]));
  assert.deepEqual(
    window.rows.slice(0, 4).map(({ kind }) => kind),
    ["line", "line", "rotated", "line"],
  );
});

test("a line is found by its cursor, also when its file has become another one", () => {
  const window = new LogWindow();
  const line = (number, cursor) => ({ line: "", line_number: number, cursor, truncated: false });
  window.replace({ lines: [line(1, "l-2f-aa-10-1-bb"), line(2, "l-2f-aa-20-2-cc")], before: null });
  assert.equal(window.find("l-77-aa-20-2-cc") - window.first, 1);
  assert.equal(window.find("l-77-aa-30-3-dd"), -1);
});

test("a cursor that is unknown clears what is shown", () => {
  const window = new LogWindow();
  window.take([log(1), log(2)]);
  const gap = { event: "log_gap", id: "", data: '{"reason":"cursor_expired","lost_bytes":null}' };
  assert.ok(window.take([gap, log(1)]).cleared);
  assert.deepEqual(
    window.rows.map(({ kind }) => kind),
    ["gap", "line"],
  );
});

test("heights are what adding them one by one gives", () => {
  let seed = 7;
  const chance = (most) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % most;
  const heights = new Heights();
  const naive = range(0, 300).map(() => 1 + chance(40));
  heights.reset(naive.slice(0, 200));
  for (const height of naive.slice(200)) heights.push(height);
  for (let turn = 0; turn < 500; turn += 1) {
    const index = chance(naive.length);
    naive[index] = 1 + chance(60);
    heights.set(index, naive[index]);
    const upto = chance(naive.length + 1);
    const sum = naive.slice(0, upto).reduce((a, b) => a + b, 0);
    assert.equal(heights.offset(upto), sum);
    if (upto < naive.length) assert.equal(heights.indexAt(sum), upto);
    if (upto < naive.length) assert.equal(heights.indexAt(sum + naive[upto] - 1), upto);
  }
  assert.equal(heights.indexAt(-5), 0);
  assert.equal(heights.indexAt(1e9), naive.length - 1);
});

test("colours are kept, every other sequence is dropped, and nothing is left raw", () => {
  const text =
    "\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[38;2;1;2;3mrgb\x1b[m\x1b]8;;http://x\x07link\x1b]8;;\x1b\\\x1b[2Kend\x07\x1b";
  const runs = runsOf(text);
  assert.equal(runs.map((run) => run.text).join(""), "red orangergblinkend␇");
  assert.deepEqual(runs[0].look, { fg: "red", bold: true });
  assert.equal(runs.find((run) => run.text === "orange").look.fg, "#ff8700");
  assert.equal(runs.find((run) => run.text === "rgb").look.fg, "#010203");
  assert.equal(plain(text), "red orangergblinkend␇");
  for (let code = 0; code < 0x20; code += 1) {
    const [{ text: shown }] = runsOf(`a${String.fromCharCode(code)}b`);
    assert.ok(
      code === 9 || code === 10 || ![...shown].some((character) => character < " "),
      String(code),
    );
  }
  assert.equal(runsOf("a\u202eb")[0].text, "a\ufffdb");
});

test("a line has its time, level and text; a JSON line its fields", () => {
  const parts = partsOf("2026-11-24T03:00:00.119845 [warning ] sheet 2 begins", {
    level: "warning",
    loggedAt: "2026-11-24T03:00:00.119845",
  });
  assert.equal(parts.runs[0].text, "sheet 2 begins");
  const json = partsOf(
    '{"event":"sheet.done","level":"error","timestamp":"2026-11-24T03:00:00Z","sheet":3,"x":"\\u001b[31m"}',
    { level: "error", loggedAt: "2026-11-24T03:00:00Z" },
  );
  assert.equal(json.runs[0].text, "sheet.done");
  assert.deepEqual(json.rest, [
    ["sheet", "3"],
    ["x", ""],
  ]);
  const extra = partsOf('{"event":"x","job_id":"a","extra":{"sheet_num":1,"job_id":"b"}}');
  assert.deepEqual(extra.rest, [
    ["job_id", "a"],
    ["sheet_num", "1"],
  ]);
  assert.equal(partsOf("[info] said", { level: "info" }).runs[0].text, "[info] said");
  assert.equal(partsOf("2026-11-24 03:00:00 x").runs[0].text, "2026-11-24 03:00:00 x");
  const unknown = partsOf('{"event":"x","level":7,"time":1.5}');
  assert.deepEqual(unknown.rest, [
    ["level", "7"],
    ["time", "1.5"],
  ]);
  assert.equal(partsOf("{not json}").json, null);
  assert.equal(partsOf("").runs[0].text, "");
  const deep = partsOf('{"event":"x","deep":{"list":[1,{}],"none":null}}');
  assert.deepEqual(deep.rest, [["deep", '{ "list": [ 1, {} ], "none": null }']]);
  assert.match(jsonText(deep.json), /^{\n {2}"event": "x",\n {2}"deep": {\n {4}"list": \[/);
});

test("small letters match in either case, and signs are taken as they are", () => {
  assert.deepEqual(parametersOf("a.b"), { regex: "(?i)a\\.b" });
  assert.deepEqual(parametersOf("Error"), { contains: "Error" });
  assert.deepEqual(parametersOf("404"), { contains: "404" });
  assert.deepEqual(parametersOf("a+", { regex: true }), { regex: "a+" });
  assert.ok(patternOf("a.b").test("xA.Bx"));
  assert.ok(!patternOf("Error").test("error"));
  assert.equal(patternOf("(?P<a>x)", { regex: true }), null);
});

test("a search goes to the beginning, waits while others search, and steps round", async (context) => {
  const pages = [
    {
      lines: [
        { cursor: "c9b", line_number: 7, line: "below", match: false },
        { cursor: "c8", line_number: 8, line: "x" },
        { cursor: "c9", line_number: 9, line: "x" },
      ],
      before: "c7",
      read_bytes: 10,
    },
    Object.assign(new Error("busy"), { status: 429 }),
    { lines: [{ cursor: "c2", line_number: 2, line: "x" }], before: null, read_bytes: 5 },
  ];
  const asked = [];
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const search = new LogSearch(
    async ({ before }) => {
      asked.push(before);
      const page = pages.shift();
      if (page instanceof Error) throw page;
      return page;
    },
    () => {},
  );
  const running = search.run();
  while (asked.length < 2) await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  context.mock.timers.tick(1000);
  await running;
  assert.deepEqual(asked, [null, "c7", "c7"]);
  assert.deepEqual(
    search.matches.map(({ cursor }) => cursor),
    ["c9", "c8", "c2"],
  );
  assert.equal(search.step(1).cursor, "c8");
  assert.equal(search.step(-1).cursor, "c9");
  assert.equal(search.step(-1).cursor, "c2");
});

test("a link to lines leads back to them", () => {
  for (const link of [
    { from: "l-1-a", to: "l-1-a" },
    { from: "l-1-a", to: "l-2-b" },
  ]) {
    assert.deepEqual(rangeOf(hashOf(link)), link);
  }
  assert.equal(rangeOf("#elsewhere"), null);
});

test("a window keeps an unfinished line until the whole one replaces it, or it is gone", () => {
  const partial = (line) => ({
    event: "log_partial",
    id: "c1",
    data: JSON.stringify({ job_id: "a", line, line_number: 2 }),
  });
  const window = new LogWindow();
  assert.deepEqual(window.take([log(1), partial("unfin")]).passed, 1);
  assert.deepEqual(window.partial, { text: "unfin", number: 2 });
  assert.deepEqual(numbers(window), [1]);
  assert.equal(window.newest, "c1");
  window.take([partial("unfinished")]);
  assert.equal(window.partial.text, "unfinished");
  window.take([log(2)]);
  assert.equal(window.partial, null);
  window.take([partial("gone"), partial("")]);
  assert.equal(window.partial, null);
});

test("one who joins is told an unfinished line as it is now, and none that has been finished", () => {
  const replay = replayOf("log");
  const partial = (line) => ({ event: "log_partial", id: "", data: `{"line":"${line}"}` });
  replay.add([log(1), partial("a"), partial("ab")]);
  assert.deepEqual(
    replay.events().map(({ data }) => JSON.parse(data).line),
    ["line 1", "ab"],
  );
  replay.add([log(2)]);
  assert.deepEqual(
    replay.events().map(({ event }) => event),
    ["log", "log"],
  );
});
