import assert from "node:assert/strict";
import { test } from "node:test";

import {
  fileFragment,
  indentJson,
  parseFileFragment,
  resolveFileLink,
} from "../../../marianne_stream/web/static/js/model/job_files.js";

test("a fragment names a file, spelled as the server does, and lines", () => {
  assert.deepEqual(parseFileFragment("#files"), { urlPath: "", lines: "" });
  assert.deepEqual(parseFileFragment("#file=a/b c(1).txt&L6-L9.3f"), {
    urlPath: "a/b%20c%281%29.txt",
    lines: "#L6-L9.3f",
  });
  assert.equal(parseFileFragment("#file=x%FF%26.txt")?.urlPath, "x%FF%26.txt");
  assert.equal(fileFragment("a%20b", "#L1"), "#file=a%20b&L1");
  assert.equal(parseFileFragment("#L6"), null);
});

test("a fragment cannot lead out of the workspace", () => {
  for (const path of [
    "../../x",
    "%2e%2e/x",
    "a/../../../health?x",
    "a//b",
    ".%2E/x",
    "/etc",
    ".",
  ]) {
    assert.equal(parseFileFragment(`#file=${path}`)?.urlPath, "", path);
  }
  assert.equal(parseFileFragment("#file=a?render=true#b")?.urlPath, "a%3Frender%3Dtrue%23b");
});

test("a link in a file leads to a file below the workspace, or nowhere", () => {
  assert.equal(resolveFileLink("docs/a.md", "../out/b(1).png?x#y"), "out/b%281%29.png");
  assert.equal(resolveFileLink("docs/a.md", "./c.md"), "docs/c.md");
  for (const href of ["../../x", "%2e%2e/%2e%2e/x", "..%2f..%2fx", "%2e%2e/logs/raw"]) {
    assert.equal(resolveFileLink("docs/a.md", href), "", href);
  }
});

test("JSON is indented, and left as it is if it is invalid or nested deeply", () => {
  const text = '{"a":[1.0,{}],"b":[]}';
  assert.equal(indentJson(text), '{\n  "a": [\n    1.0,\n    {}\n  ],\n  "b": []\n}');
  assert.equal(indentJson("{"), "");
  assert.equal(indentJson("[".repeat(100) + "]".repeat(100)).slice(0, 4), "[\n  ");
  assert.equal(indentJson("[".repeat(101) + "]".repeat(101)), "");
});
