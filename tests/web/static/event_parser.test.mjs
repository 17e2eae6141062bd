import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../../../marianne_stream/web/static/js/wire/event_parser.js";

const STREAM =
  '\uFEFFretry: 2500\n\n: idle\n\nid: a\nevent: log\ndata: {"line":"é"}\n\ndata: one\ndata: two\n\nid: b\n\n';

test("events are the same wherever the text is cut", () => {
  const whole = new EventParser().feed(STREAM);
  assert.deepEqual(whole, [
    { event: "log", id: "a", data: '{"line":"é"}' },
    { event: "message", id: "", data: "one\ntwo" },
  ]);
  for (let at = 0; at <= STREAM.length; at += 1) {
    const parser = new EventParser();
    const events = [...parser.feed(STREAM.slice(0, at)), ...parser.feed(STREAM.slice(at))];
    assert.deepEqual(events, whole);
    assert.equal(parser.retryMs, 2500);
  }
});

test("lines end with CR, LF or CRLF, also where CRLF is cut", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.feed("data: 1\r"), []);
  assert.deepEqual(
    parser.feed("\n\r\ndata: 2\r\r").map(({ data }) => data),
    ["1", "2"],
  );
});

test("id with NUL, retry that is not a number and unknown field are ignored", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.feed("id: a\0b\nretry: soon\nfoo: bar\ndata\n\n"), [
    { event: "message", id: "", data: "" },
  ]);
  assert.equal(parser.retryMs, null);
});
