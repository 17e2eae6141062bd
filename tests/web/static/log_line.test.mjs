import assert from "node:assert/strict";
import { test } from "node:test";

import { parseRuns, plainText } from "../../../marianne_stream/web/static/js/model/ansi.js";
import {
  formatJson,
  lineLabel,
  parseLine,
} from "../../../marianne_stream/web/static/js/model/log_line.js";
import {
  findMatches,
  highlightPattern,
  MAX_TEXT_CHARS,
  searchParameters,
} from "../../../marianne_stream/web/static/js/model/log_query.js";
import { LogSearch } from "../../../marianne_stream/web/static/js/model/log_search.js";
import { splitLinks } from "../../../marianne_stream/web/static/js/model/text_links.js";
import { RowHeights } from "../../../marianne_stream/web/static/js/model/row_heights.js";
import { makeReplayBuffer } from "../../../marianne_stream/web/static/js/wire/replay_buffer.js";
import { jobPart } from "../../../marianne_stream/web/static/js/wire/api.js";
import { logEvent, partialEvent, range } from "./log_pages.mjs";

/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogPage} LogPage */

test("row heights equal sums computed naively", () => {
  let seed = 7;
  const random = (/** @type {number} */ most) =>
    (seed = (seed * 1103515245 + 12345) % 2 ** 31) % most;
  const heights = new RowHeights();
  const naive = range(0, 300).map(() => 1 + random(40));
  heights.reset(naive.slice(0, 200));
  for (const height of naive.slice(200)) heights.push(height);
  for (let step = 0; step < 500; step += 1) {
    const index = random(naive.length);
    naive[index] = 1 + random(60);
    heights.set(index, naive[index]);
    const upto = random(naive.length + 1);
    const sum = naive.slice(0, upto).reduce((a, b) => a + b, 0);
    assert.equal(heights.offset(upto), sum);
    if (upto < naive.length) assert.equal(heights.indexAt(sum), upto);
    if (upto < naive.length) assert.equal(heights.indexAt(sum + naive[upto] - 1), upto);
  }
  assert.equal(heights.indexAt(-5), 0);
  assert.equal(heights.indexAt(1e9), naive.length - 1);
});

test("colours are kept, other sequences dropped, controls replaced", () => {
  const text =
    "\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[38;2;1;2;3mrgb\x1b[m\x1b]8;;http://x\x07link\x1b]8;;\x1b\\\x1b[2Kend\x07\x1b";
  const runs = parseRuns(text);
  assert.equal(runs.map((run) => run.text).join(""), "red orangergblinkend␇");
  assert.deepEqual(runs[0].style, { fg: "red", bold: true });
  assert.equal(runs.find((run) => run.text === "orange")?.style.fg, "#ff8700");
  assert.equal(runs.find((run) => run.text === "rgb")?.style.fg, "#010203");
  assert.equal(plainText(text), "red orangergblinkend␇");
  for (let code = 0; code < 0x20; code += 1) {
    const [{ text: shown }] = parseRuns(`a${String.fromCharCode(code)}b`);
    assert.ok(
      code === 9 || code === 10 || ![...shown].some((character) => character < " "),
      String(code),
    );
  }
  assert.equal(parseRuns("a\u202eb")[0].text, "a\ufffdb");
});

test("parsed line has no time and level, and the fields of JSON", () => {
  const parts = parseLine("2026-11-24T03:00:00.119845 [warning ] sheet 2 begins", {
    level: "warning",
    loggedAt: "2026-11-24T03:00:00.119845",
  });
  assert.equal(parts.runs[0].text, "sheet 2 begins");
  const json = parseLine(
    '{"event":"sheet.done","level":"error","timestamp":"2026-11-24T03:00:00Z","sheet":3,"x":"\\u001b[31m"}',
    { level: "error", loggedAt: "2026-11-24T03:00:00Z" },
  );
  assert.equal(json.runs[0].text, "sheet.done");
  assert.deepEqual(json.fields, [
    ["sheet", "3"],
    ["x", ""],
  ]);
  const extra = parseLine('{"event":"x","job_id":"a","extra":{"sheet_num":1,"job_id":"b"}}');
  assert.deepEqual(extra.fields, [
    ["job_id", "a"],
    ["sheet_num", "1"],
  ]);
  assert.equal(parseLine("[info] said", { level: "info" }).runs[0].text, "[info] said");
  assert.equal(parseLine("2026-11-24 03:00:00 x").runs[0].text, "2026-11-24 03:00:00 x");
  const unknown = parseLine('{"event":"x","level":7,"time":1.5}');
  assert.deepEqual(unknown.fields, [
    ["level", "7"],
    ["time", "1.5"],
  ]);
  assert.equal(parseLine("{not json}").json, null);
  assert.equal(parseLine("").runs[0].text, "");
  const deep = parseLine('{"event":"x","deep":{"list":[1,{}],"none":null}}');
  assert.deepEqual(deep.fields, [["deep", '{ "list": [ 1, {} ], "none": null }']]);
  assert.match(formatJson(deep.json), /^{\n {2}"event": "x",\n {2}"deep": {\n {4}"list": \[/);
});

test("search text without capitals ignores case, and is taken literally", () => {
  assert.deepEqual(searchParameters("a.b"), { regex: "(?i)a\\.b" });
  assert.deepEqual(searchParameters("Error"), { contains: "Error" });
  assert.deepEqual(searchParameters("404"), { contains: "404" });
  assert.deepEqual(searchParameters("a+", { regex: true }), { regex: "a+" });
  assert.match("xA.Bx", highlightPattern("a.b") ?? /$^/);
  assert.doesNotMatch("error", highlightPattern("Error") ?? /./);
  assert.equal(highlightPattern("(?P<a>x)", { regex: true }), null);
});

test("expression that a browser may match in very many ways is not highlighted", () => {
  const isHighlighted = (/** @type {string} */ text) =>
    highlightPattern(text, { regex: true }) !== null;
  for (const text of [
    "(a+)+b",
    "(a|a)*b",
    "a*a*b",
    "a?a?a?a?b",
    "(x+x+)+y",
    "(a|a)(a|a)(a|a)(a|a)",
  ]) {
    assert.ok(!isHighlighted(text), text);
  }
  for (const text of [
    "error|warn",
    "sheet \\d+",
    "[*+?]+",
    "took \\d{1,3} ms",
    "(?:a|b)c*?",
    "a\\+\\*b+",
  ]) {
    assert.ok(isHighlighted(text), text);
  }
});

test("longest search text fits into the name of a log's part, which has 4,000 characters", () => {
  for (const letter of ["\u30ed", ".", "a"]) {
    const parameters = searchParameters(letter.repeat(MAX_TEXT_CHARS));
    const part = jobPart("log", "a".repeat(100), { tail_lines: 1000, ...parameters });
    assert.ok(part.length <= 4_000, letter);
  }
});

test("expression with a repeat is highlighted in time, in the beginning of a long text", () => {
  /** @param {string} text @param {string} search */
  const find = (text, search, regex = true) => {
    const pattern = highlightPattern(search, { regex });
    assert.ok(pattern);
    return [...findMatches(text, pattern)].map(({ index }) => index);
  };
  for (const search of [".*timeout", " +$", "\\d+ms", "a{400}b"]) {
    for (const letter of ["a", " ", "1"]) {
      for (let repeat = 0; repeat < 20; repeat += 1) {
        assert.deepEqual(find(`${letter.repeat(64_000)}x`, search), []);
      }
    }
  }
  const text = `7ms ${"x".repeat(64_000)} a+b 8ms`;
  assert.deepEqual(find(text, "\\d+ms"), [0]);
  assert.deepEqual(find(text, "7m|8ms$"), [0, text.length - 3]);
  assert.deepEqual(find(text, "a\\+b"), [text.length - 7]);
  assert.deepEqual(find(text, "a+b", false), [text.length - 7]);
  assert.deepEqual(find("a 7ms", "\\d+ms$"), [2]);
});

test("of a long line as much is parsed as is shown", () => {
  const text = parseLine("x".repeat(9_000));
  assert.deepEqual([text.runs[0].text.length, text.isCut], [4_000, true]);
  const json = parseLine(JSON.stringify({ event: "x".repeat(1_000), a: "y".repeat(5_000), b: 1 }));
  assert.deepEqual([json.fields[0][1].length, json.fields.length, json.isCut], [3_000, 1, true]);
  const list = parseLine(JSON.stringify({ list: Array(20_000).fill(1) }));
  const many = parseLine(`{${range(0, 6_000).map((name) => `"${name}":1`)}}`);
  assert.ok(list.fields[0][1].length < 4_100 && many.fields.length < 1_000 && many.isCut);
  const whole = parseLine(JSON.stringify({ event: "x".repeat(9_000), b: 1 }), {}, Infinity);
  assert.deepEqual(
    [whole.runs[0].text.length, whole.fields, whole.isCut, parseLine("short").isCut],
    [9_000, [["b", "1"]], false, false],
  );
});

test("hostile lines are parsed in time, and as text where they are nested too deep", () => {
  const length = 64_000;
  const nested = `{"a":${"[".repeat(length / 2)}${"]".repeat(length / 2)}}`;
  const deep = `{"a":${"[".repeat(3_000)}${"]".repeat(3_000)}}`;
  const lines = [
    nested,
    deep,
    `http://a/${")".repeat(length)}`,
    JSON.stringify({ event: `http://a/${")".repeat(length)}` }),
    JSON.stringify({ event: "x", at: `http://a/${"(]".repeat(length / 2)}` }),
    `http://a/${".".repeat(length)}x`,
    "http://a.".repeat(length / 9),
    "http://a<".repeat(length / 9),
    "\x1b[31ma".repeat(length / 6),
    "\x1b[".repeat(length / 2),
    "\x1b]".repeat(length / 2),
    "\x9b".repeat(length),
    `{"a":[${"1.0,".repeat(length / 4)}1]}`,
    `{${range(0, 6_000).map((name) => `"${name}":1`)}}`,
    `2026-11-24T03:00:00${" ".repeat(length)}`,
  ];
  for (const line of lines) {
    for (const maxChars of [4_000, Infinity]) {
      for (let repeat = 0; repeat < 20; repeat += 1) {
        const known = { level: "info", loggedAt: "2026-11-24T03:00:00" };
        const { runs, fields, json } = parseLine(line, known, maxChars);
        splitLinks(runs.map(({ text }) => text).join(""));
        for (const [, value] of fields) splitLinks(value);
        if (json) splitLinks(formatJson(json));
      }
    }
  }
  for (const line of [nested, deep]) assert.equal(parseLine(line).json, null);
});

test("search reads to the start of the log, retries when busy, and wraps around", async (context) => {
  /** @type {(LogPage | Error)[]} */
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
  /** @type {unknown[]} */
  const requests = [];
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const search = new LogSearch(
    async ({ before }) => {
      requests.push(before);
      const page = pages.shift() ?? new Error("no page is left");
      if (page instanceof Error) throw page;
      return page;
    },
    () => {},
  );
  const running = search.run();
  while (requests.length < 2) await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  context.mock.timers.tick(1000);
  await running;
  assert.deepEqual(requests, [null, "c7", "c7"]);
  assert.deepEqual(search.matches, ["c9", "c8", "c2"]);
  assert.equal(await search.step(1), "c8");
  assert.equal(await search.step(-1), "c9");
  assert.equal(await search.step(-1), "c2");
  assert.equal(search.wrappedTo, "oldest");
});

/**
 * Make a search of which the test gives the pages.
 *
 * @param {Partial<LogPage>[]} pages
 */
function makeSearch(pages) {
  /** @type {unknown[]} */
  const requests = [];
  const search = new LogSearch(
    async ({ before, after }) => {
      requests.push(after ?? before);
      const page = pages.shift();
      if (!page) throw new Error("no page is left");
      return { lines: [], before: null, ...page };
    },
    () => {},
  );
  return { search, requests };
}

/** @param {number} number */
const match = (number) => ({ cursor: `c${number}`, line_number: number, line: "x" });

test("search goes on behind its newest match among lines written since", async () => {
  const { search, requests } = makeSearch([
    { lines: [match(1), match(2)], after: "end" },
    { after: "middle", stopped_by: "time" },
    { lines: [match(5), match(6)], after: "end2", stopped_by: "end" },
    { after: "end3", stopped_by: "end" },
    { lines: [match(9)], after: "end4", stopped_by: "end" },
  ]);
  await search.run();
  assert.equal(await search.step(-1), "c5");
  assert.deepEqual([search.matches, search.wrappedTo], [["c6", "c5", "c2", "c1"], ""]);
  assert.equal(await search.step(-1), "c6");
  assert.equal(await search.step(-1), "c1");
  assert.equal(search.wrappedTo, "oldest");
  await search.refresh();
  assert.deepEqual([search.matches[0], search.current], ["c9", 4]);
  assert.deepEqual(requests, [null, "end", "middle", "end2", "end3"]);
});

test("search begins anew after the log was cut", async () => {
  const expired = Object.assign(new Error("gone"), { code: "cursor_expired", status: 410 });
  /** @type {(Partial<LogPage> | Error)[]} */
  const pages = [
    { lines: [match(7), match(8)], after: "end" },
    expired,
    { lines: [match(1)], after: "new end" },
    { after: "new end", stopped_by: "end" },
  ];
  const search = new LogSearch(
    async () => {
      const page = pages.shift();
      if (!page || page instanceof Error) throw page;
      return { lines: [], before: null, ...page };
    },
    () => {},
  );
  await search.run();
  await search.refresh();
  await new Promise(setImmediate);
  assert.deepEqual([search.matches, search.current, search.isDone], [["c1"], 0, true]);
  assert.equal(await search.step(1), "c1");
  assert.equal(search.error, "");
});

test("search whose newer matches are refused says so, and asks no more", async () => {
  const { search, requests } = makeSearch([{ lines: [match(1)], after: "end" }]);
  await search.run();
  await search.refresh();
  await search.refresh();
  assert.deepEqual([requests, search.error], [[null, "end"], "no page is left"]);
});

test("search that stays open keeps a limited number of matches", async () => {
  const newer = range(100_000, 109_999).map(match);
  const { search } = makeSearch([
    { lines: [match(1), match(2)], after: "end" },
    { lines: newer, after: "end2", stopped_by: "end" },
  ]);
  await search.run();
  await search.refresh();
  assert.deepEqual([search.matches.length, search.hasMore], [10_000, true]);
  assert.equal(search.matches[search.current], search.matches.at(-1));
});

test("search that still runs wraps at neither end", async () => {
  let isRunning = true;
  const search = new LogSearch(
    ({ before }) =>
      before
        ? new Promise((resolve) => {
            if (!isRunning) resolve({ lines: [], before: null });
          })
        : Promise.resolve({ lines: [match(8), match(9)], before: "c8" }),
    () => {},
  );
  search.run();
  await new Promise(setImmediate);
  assert.equal(await search.step(-1), null);
  assert.equal(await search.step(1), "c8");
  assert.equal(await search.step(1), null);
  assert.equal(search.wrappedTo, "");
  isRunning = false;
});

test("replay buffer has the current partial line, and none that was completed", () => {
  const replay = makeReplayBuffer("log");
  replay.add([logEvent(1), partialEvent("a"), partialEvent("ab")]);
  assert.deepEqual(
    replay.eventsAfter("")?.map(({ data }) => JSON.parse(data).line),
    ["line 1", "ab"],
  );
  replay.add([logEvent(2)]);
  assert.deepEqual(
    replay.eventsAfter("")?.map(({ event }) => event),
    ["log", "log"],
  );
});

test("replay buffer of a log gives what is behind a cursor, or nothing", () => {
  /** @param {ReturnType<typeof makeReplayBuffer>} replay @param {string} cursor */
  const after = (replay, cursor) => replay.eventsAfter(cursor)?.map(({ id }) => id) ?? null;
  const replay = makeReplayBuffer("log", "c1");
  assert.deepEqual(after(replay, "c1"), []);
  assert.equal(after(replay, ""), null);
  replay.add([logEvent(2), { event: "log_rotated", id: "", data: "{}" }, logEvent(3)]);
  assert.deepEqual(after(replay, "c1"), ["c2", "", "c3"]);
  assert.deepEqual(after(replay, "c2"), ["", "c3"]);
  assert.deepEqual(after(replay, "c3"), []);
  assert.equal(after(replay, "c4"), null);
  for (let number = 4; number < 3000; number += 1) replay.add([logEvent(number)]);
  assert.equal(after(replay, "c1"), null);
  assert.deepEqual(after(replay, "c2998"), ["c2999"]);
});

test("a line is told by its number, its level and its beginning", () => {
  /** @param {string} text */
  const row = (text, level = "") =>
    /** @type {any} */ ({ kind: "line", number: 7, level, loggedAt: "", text });
  assert.equal(lineLabel(row("\x1b[31mplain\x1b[0m")), "Line 7: plain");
  assert.equal(lineLabel(row('{"event":"it failed","a":1}', "error")), "Line 7, error: it failed");
  assert.equal(lineLabel(row("x".repeat(60_000))).length, "Line 7: ".length + 300);
});
