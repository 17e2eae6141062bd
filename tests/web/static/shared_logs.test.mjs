import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { CombinedServer, until } from "./combined_server.mjs";
import { closeAll, line, Viewer } from "./stream_viewer.mjs";

let server = new CombinedServer();
let hub = new StreamHub();

beforeEach(() => {
  server = new CombinedServer();
  server.install();
  hub = new StreamHub();
});

/**
 * @param {string} part
 * @param {string} [cursor]
 */
const view = (part, cursor) => new Viewer(hub, part, cursor);

test("windows share a log, wherever in it they are", async () => {
  const first = view("log:a", line(1));
  const connection = await server.connected(1);
  connection.send("log:a", "log", line(2));
  connection.send("log:a", "log", line(3));
  await until(() => first.events.length === 2);
  const same = view("log:a", line(3));
  const behind = view("log:a", line(1));
  // The page of a window may be newer than what the stream has given.
  const ahead = view("log:a", line(5));
  assert.deepEqual([same.ids, behind.ids, ahead.ids], [[], [line(2), line(3)], []]);
  connection.send("log:a", "log_partial", "", { line_number: 5 });
  for (const number of [4, 5, 6]) connection.send("log:a", "log", line(number));
  await until(() => first.events.length === 6);
  assert.deepEqual(same.ids, ["", line(4), line(5), line(6)]);
  assert.deepEqual(ahead.ids, [line(6)]);
  connection.send("log:a", "log_rotated", "", { log_file: "a.log" });
  connection.send("log:a", "log", line(1, "bb"));
  await until(() => first.events.length === 8);
  assert.deepEqual(ahead.ids, [line(6), "", line(1, "bb")]);
  assert.equal(server.connections.length, 1);
  closeAll(first, same, behind, ahead);
});

test("windows share a log with a filter, whose pages end between its lines", async () => {
  const first = view("log:a?level=error", line(10));
  const connection = await server.connected(1);
  connection.send("log:a?level=error", "log", line(20));
  connection.send("log:a?level=error", "log", line(30));
  await until(() => first.events.length === 2);
  const later = view("log:a?level=error", line(25));
  const newest = view("log:a?level=error", line(44));
  connection.send("log:a?level=error", "log", line(50));
  await until(() => first.events.length === 3);
  assert.deepEqual([later.ids, newest.ids], [[line(30), line(50)], [line(50)]]);
  // Lines before the beginning of the part may be missing in it.
  const earlier = view("log:a?level=error", line(5));
  assert.deepEqual((await server.connected(2)).parts, [
    "log:a?level=error",
    "log:a?level=error&copy=2",
  ]);
  closeAll(first, later, newest, earlier);
});

test("window gets a part of its own if the log was cut and its line is unknown", async () => {
  const part = "log:a?level=error";
  const first = view(part, line(10));
  const connection = await server.connected(1);
  connection.send(part, "log", line(20));
  connection.send(part, "log_rotated", "", { reason: "truncated" });
  connection.send(part, "log", line(12));
  await until(() => first.events.length === 3);
  const known = view(part, line(12));
  // Its page was read before the cut, or behind it.
  const unknown = view(part, line(15));
  assert.deepEqual((await server.connected(2)).parts, [part, `${part}&copy=2`]);
  assert.deepEqual([known.ids, unknown.ids], [[], []]);
  closeAll(first, known, unknown);
});

test("window that waits for its line goes on after the log was cut", async () => {
  const first = view("log:a", line(1));
  const connection = await server.connected(1);
  const ahead = view("log:a", line(9));
  connection.send("log:a", "log_rotated", "", { reason: "truncated" });
  connection.send("log:a", "log", line(1));
  await until(() => first.events.length === 2);
  assert.deepEqual(ahead.ids, ["", line(1)]);
  closeAll(first, ahead);
});

for (const [event, reason] of [
  ["log_rotated", "truncated"],
  ["log_gap", "cursor_expired"],
]) {
  test(`window gets all lines behind ${event} ${reason}, received with it`, async () => {
    const [inside, ahead] = [view("log:a", line(2)), view("log:a", line(400))];
    const connection = await server.connected(1);
    // The first line is the same as before, and so the file is.
    const written = line(1).replace("cc", "dd");
    connection.sendTogether("log:a", [
      [event, "", { reason }],
      ["log", written],
      ["log", line(2)],
      ["log_partial", "", { line_number: 3 }],
    ]);
    await until(() => ahead.events.length === 4);
    assert.deepEqual(ahead.ids, ["", written, line(2), ""]);
    connection.send("log:a", "log", line(3));
    await until(() => ahead.events.length === 5);
    // Its page was read behind the cut, and has these two lines.
    assert.deepEqual(inside.ids, ["", line(3)]);
    closeAll(ahead, inside);
  });
}

test("window that has the last line is told of the end of the log", async () => {
  const [first, second] = [view("log:a", line(3)), view("log:a", line(3))];
  const connection = await server.connected(1);
  connection.send("log:a", "log_rotated", line(3), { log_file: "a.log" });
  connection.send("log:a", "log_complete", line(3).replace("l", "c"));
  await until(() => first.phase === "ended" && second.phase === "ended");
  assert.deepEqual(
    first.events.map(({ event }) => event),
    ["log_rotated", "log_complete"],
  );
  assert.deepEqual(second.ids, first.ids);
  closeAll(first, second);
});

test("window that opens late misses no line of a burst", async () => {
  const first = view("log:a", line(0));
  const connection = await server.connected(1);
  /** @param {number} count */
  const sendUpTo = async (count) => {
    while (first.events.length < count) {
      const next = first.events.length + 1;
      for (let number = next; number < next + 500; number += 1) {
        connection.send("log:a", "log", line(number));
      }
      await until(() => first.events.length === next + 499);
    }
  };
  await sendUpTo(1_500);
  const second = view("log:a", line(0));
  assert.deepEqual(second.ids, first.ids);
  await sendUpTo(2_500);
  // The oldest lines are no longer kept.
  const third = view("log:a", line(0));
  assert.deepEqual(third.ids, []);
  const fourth = view("log:a", line(1_400));
  assert.deepEqual(fourth.ids, first.ids.slice(1_400));
  assert.deepEqual((await server.connected(2)).parts, ["log:a", "log:a?copy=2"]);
  closeAll(first, second, third, fourth);
});
