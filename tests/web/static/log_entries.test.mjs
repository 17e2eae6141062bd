import assert from "node:assert/strict";
import { test } from "node:test";

import { isEntryHead, isFolded } from "../../../marianne_stream/web/static/js/model/log_entries.js";
import { LogWindow } from "../../../marianne_stream/web/static/js/model/log_window.js";
import { splitLinks } from "../../../marianne_stream/web/static/js/model/text_links.js";
import { lineNumbers, logEvent, range } from "./log_pages.mjs";

/**
 * @param {any[][]} lines number, level and whether it matches.
 */
function makePage(lines) {
  return {
    lines: lines.map(([number, level, match]) => ({
      line: `line ${number}`,
      line_number: number,
      cursor: `c${number}`,
      level,
      match,
    })),
    before: "b",
  };
}

/** @param {LogWindow} window */
function foldedNumbers(window) {
  return window.rows.filter((row) => isFolded(row, true)).map(({ number }) => number);
}

test("lines without a level belong to the entry above, but not behind a hole", () => {
  const window = new LogWindow();
  window.append(makePage([[1], [2, "error"], [3], [4], [5, "info"], [7]]));
  assert.deepEqual(foldedNumbers(window), [3, 4]);
  assert.deepEqual(window.rows.map(isEntryHead), [false, true, false, false, false, false]);
  assert.equal(window.rows[1].entry?.lineCount, 3);
  assert.ok(window.hasLevels && window.hasEntries && !window.hasTimes);
  const { entry } = window.rows[1];
  assert.ok(entry);
  entry.isOpen = true;
  assert.deepEqual(foldedNumbers(window), []);
});

test("log without levels and times has no entries and no columns", () => {
  const window = new LogWindow();
  window.append(makePage([[1], [2], [3]]));
  assert.deepEqual(foldedNumbers(window), []);
  assert.ok(!window.hasLevels && !window.hasEntries);
  window.applyEvents([logEvent(4)]);
  assert.ok(window.hasTimes);
  window.clear();
  assert.ok(!window.hasTimes);
});

test("entry grows over the border of two pages and ends at 200 lines", () => {
  const window = new LogWindow();
  window.append(makePage(range(100, 350).map((number) => [number])));
  assert.deepEqual(foldedNumbers(window), []);
  window.prepend(makePage([[98], [99, "error"]]));
  assert.deepEqual(foldedNumbers(window), range(100, 299));
  assert.equal(window.rows[1].entry?.lineCount, 200);
});

test("lines whose entry has left the window stand alone", () => {
  const window = new LogWindow({ maxRows: 10 });
  window.append(makePage([[1, "error"], ...range(2, 12).map((number) => [number])]));
  assert.equal(window.rows[0].number, 4);
  assert.deepEqual(foldedNumbers(window), []);
  const other = new LogWindow({ maxRows: 10 });
  other.append(makePage([[11, "error"], ...range(12, 21).map((number) => [number])]));
  other.prepend(makePage([[10, "info"]]));
  assert.deepEqual(lineNumbers(other), range(10, 18));
  assert.equal(other.rows[1].entry?.lineCount, 7);
});

test("pages of matches that share their context are joined", () => {
  const window = new LogWindow();
  window.replace(
    makePage([
      [6, "", false],
      [7, "", false],
      [8, "", true],
    ]),
  );
  window.prepend(
    makePage([
      [4, "", false],
      [5, "", true],
      [6, "", true],
      [7, "", false],
    ]),
  );
  assert.deepEqual(lineNumbers(window), range(4, 9));
  assert.deepEqual(
    window.rows.map(({ isMatch }) => isMatch),
    [false, true, true, false, true],
  );
});

test("http and https URLs are links, without the punctuation around them", () => {
  /** @param {string} text */
  const urls = (text) =>
    splitLinks(text)
      .filter(({ url }) => url)
      .map(({ url }) => url);
  assert.deepEqual(urls("see https://example.org/a?b=1&c=2."), ["https://example.org/a?b=1&c=2"]);
  assert.deepEqual(urls("(http://a.example/x_(y)), HTTPS://B.example"), [
    "http://a.example/x_(y)",
    "https://b.example/",
  ]);
  assert.deepEqual(urls('"http://a.example" <http://b.example/>'), [
    "http://a.example/",
    "http://b.example/",
  ]);
  assert.deepEqual(urls("“http://c.example/e” «http://d.example»: http://e.example/l’été’"), [
    "http://c.example/e",
    "http://d.example/",
    "http://e.example/l%E2%80%99%C3%A9t%C3%A9",
  ]);
  assert.deepEqual(urls("https://example.org/中文。あと"), [
    "https://example.org/%E4%B8%AD%E6%96%87",
  ]);
  assert.deepEqual(urls(`http://a.example/${"x".repeat(2_000)} http://b.example/`), [
    "http://b.example/",
  ]);
  assert.deepEqual(urls("javascript:alert(1)//http:// ftp://a.example file:///etc"), []);
  const text = "a http://x.example/, b";
  const pieces = splitLinks(text);
  assert.equal(pieces.map((piece) => piece.text).join(""), text);
  assert.deepEqual(
    pieces.map(({ text: piece }) => piece),
    ["a ", "http://x.example/", ", b"],
  );
});
