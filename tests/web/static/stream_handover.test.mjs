import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { CombinedServer, until } from "./combined_server.mjs";
import { FakeClock } from "./fake_clock.mjs";
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

test("new part opens the stream anew, and each part resumes at its own cursor", async () => {
  const roster = view("roster");
  const status = view("status:a");
  const first = await server.connected(1);
  first.send("roster", "roster", "r1", { complete: true, jobs: [], removed: [] });
  first.send("status:a", "job_sheets", "s1", { complete: true, sheets: [] });
  first.send("status:a", "source", "");
  first.send("roster", "roster", "r2", { complete: false, jobs: [], removed: [] });
  await until(() => roster.events.length === 2);
  const log = view("log:a,b?level=error", "l1");
  const second = await server.connected(2);
  assert.deepEqual(second.cursors, ["roster,r2", "status:a,s1", "log:a,b?level=error,l1"]);
  // The first connection goes on until its parts have begun on the second one.
  first.send("roster", "roster", "r3", { complete: false, jobs: [], removed: [] });
  await until(() => roster.events.length === 3);
  assert.deepEqual([roster.phase, log.phase, first.isOpen], ["live", "connecting", true]);
  second.send("roster", "source", "");
  second.send("log:a,b?level=error", "log", "l2");
  await until(() => log.events.length);
  first.send("roster", "roster", "r4", { complete: false, jobs: [], removed: [] });
  first.send("status:a", "job_sheets", "s2", { complete: true, sheets: [] });
  await until(() => status.events.length === 3);
  assert.ok(first.isOpen);
  second.send("status:a", "source", "");
  await until(() => !first.isOpen);
  assert.equal(roster.events.length, 4);
  assert.deepEqual(
    [roster.phases, log.phases],
    [
      ["connecting", "live"],
      ["connecting", "live"],
    ],
  );
  second.break();
  const third = await server.connected(3);
  assert.deepEqual(third.cursors, ["roster,r3", "status:a,s2", "log:a,b?level=error,l2"]);
  assert.deepEqual(roster.phases.slice(2), ["waiting", "connecting"]);
  closeAll(roster, status, log);
});

test("events that come on both connections are passed on once", async () => {
  const log = view("log:a");
  const events = view("events:a");
  const first = await server.connected(1);
  first.send("log:a", "log", line(1));
  first.send("events:a", "source", "t-1");
  await until(() => events.events.length);
  const other = view("roster");
  const second = await server.connected(2);
  for (const number of [2, 3]) first.send("log:a", "log", line(number));
  first.send("log:a", "log_rotated", "", { log_file: "a.log" });
  first.send("log:a", "log", line(1, "bb"));
  first.send("log:a", "log_partial", "", { line_number: 2 });
  first.send("events:a", "job.said", "t-2");
  await until(() => log.events.length === 6 && events.events.length === 2);
  second.send("log:a", "part_start", line(1));
  second.send("events:a", "source", "t-1");
  await until(() => events.events.length === 3);
  // The connection breaks before it has caught up with the first one.
  second.send("log:a", "log", line(2));
  await new Promise((resolve) => setTimeout(resolve, 10));
  second.break();
  const third = await server.connected(3);
  assert.deepEqual(third.cursors, [`log:a,${line(1, "bb")}`, "events:a,t-2"]);
  third.send("log:a", "log", line(2, "bb"));
  await until(() => log.events.length === 7);
  assert.deepEqual(log.ids.filter(Boolean), [
    line(1),
    line(2),
    line(3),
    line(1, "bb"),
    line(2, "bb"),
  ]);
  closeAll(log, events, other);
});

test("repeated events are dropped up to the first new one", async () => {
  const log = view("log:a");
  const first = await server.connected(1);
  first.send("log:a", "log", line(1));
  await until(() => log.events.length);
  const other = view("roster");
  const second = await server.connected(2);
  first.send("log:a", "log", line(2));
  first.send("log:a", "log_gap", "", { reason: "rotated_away" });
  first.send("log:a", "log", line(3));
  await until(() => log.events.length === 4);
  second.send("log:a", "log", line(2));
  second.send("log:a", "log_gap", "", { reason: "rotated_away" });
  for (const number of [3, 4]) second.send("log:a", "log", line(number));
  second.send("log:a", "log_gap", "", { reason: "rotated_away" });
  await until(() => log.events.length === 6);
  assert.deepEqual(log.ids, [line(1), line(2), "", line(3), line(4), ""]);
  closeAll(log, other);
});

test("third connection does not keep the second one from dropping what it repeats", async () => {
  const log = view("log:a");
  const first = await server.connected(1);
  first.send("log:a", "log", line(1));
  await until(() => log.events.length);
  const other = view("roster");
  const second = await server.connected(2);
  for (const number of [2, 3]) first.send("log:a", "log", line(number));
  await until(() => log.events.length === 3);
  second.send("log:a", "part_start", line(1));
  await until(() => !first.isOpen);
  const third = view("status:b");
  const newest = await server.connected(3);
  assert.deepEqual(newest.cursors, [`log:a,${line(3)}`]);
  for (const number of [2, 3, 4]) second.send("log:a", "log", line(number));
  await until(() => log.ids.includes(line(4)));
  for (const number of [4, 5]) newest.send("log:a", "log", line(number));
  await until(() => log.ids.includes(line(5)));
  assert.deepEqual(
    log.ids,
    [1, 2, 3, 4, 5].map((number) => line(number)),
  );
  closeAll(log, other, third);
});

test("slow part stays live while the windows change again", async () => {
  const [status, roster] = [view("status:a"), view("roster")];
  const first = await server.connected(1);
  first.send("roster", "source", "");
  first.send("status:a", "source", "");
  await until(() => status.phase === "live" && roster.phase === "live");
  const second = view("log:b");
  const next = await server.connected(2);
  next.send("roster", "source", "");
  next.send("log:b", "part_start", "l0");
  await until(() => second.phase === "live");
  const third = view("log:c");
  const newest = await server.connected(3);
  for (const part of ["roster", "log:b"]) newest.send(part, "source", "");
  newest.send("log:c", "part_start", "l0");
  await until(() => !next.isOpen && third.phase === "live");
  first.send("status:a", "job_status", "s1");
  await until(() => status.events.length === 2);
  newest.send("status:a", "source", "");
  await until(() => !first.isOpen);
  for (const viewer of [status, roster, second, third]) {
    assert.deepEqual(viewer.phases, ["connecting", "live"]);
  }
  closeAll(status, roster, second, third);
});

test("stream has at most three connections", async () => {
  const status = view("status:a");
  const first = await server.connected(1);
  first.send("status:a", "source", "");
  await until(() => status.phase === "live");
  const logs = [];
  for (const name of ["log:b", "log:c", "log:d"]) {
    const log = view(name);
    const connection = await server.connected(server.connections.length + 1);
    for (const part of connection.parts.slice(-1)) connection.send(part, "part_start", "l0");
    await until(() => log.phase === "live");
    logs.push(log);
  }
  assert.deepEqual([server.open.length, first.isOpen], [3, false]);
  assert.deepEqual(status.phases, ["connecting", "live", "connecting"]);
  closeAll(status, ...logs);
});

test("connection that is not answered is lost since the former one was heard last", async () => {
  const roster = view("roster");
  const first = await server.connected(1);
  first.send("roster", "source", "");
  await until(() => roster.events.length);
  // The network is gone, and another window is opened.
  server.silence();
  const status = view("status:a");
  await until(() => roster.phase === "connecting");
  assert.equal(roster.state.since, roster.events[0].at);
  assert.equal(first.isOpen, false);
  closeAll(roster, status);
});

test("removed part makes no request of its own", async (t) => {
  const [roster, status] = [view("roster"), view("status:a")];
  const first = await server.connected(1);
  first.send("roster", "source", "");
  first.send("status:a", "source", "");
  await until(() => status.events.length);
  const clock = new FakeClock(t.mock);
  status.close();
  await clock.advance(4_900);
  assert.equal(server.connections.length, 1);
  first.send("status:a", "source", "");
  const other = view("status:b");
  await clock.advance(20);
  assert.deepEqual(server.last.parts, ["roster", "status:b"]);
  assert.equal(server.connections.length, 2);
  assert.equal(status.events.length, 1);
  closeAll(roster, other);
});

test("removed part is in no connection a while later", async (t) => {
  const [roster, status] = [view("roster"), view("status:a")];
  const first = await server.connected(1);
  first.send("roster", "source", "");
  first.send("status:a", "source", "");
  await until(() => status.events.length);
  const clock = new FakeClock(t.mock);
  status.close();
  await clock.advance(5_100);
  assert.deepEqual(server.last.parts, ["roster"]);
  assert.equal(server.connections.length, 2);
  server.last.send("roster", "source", "");
  await clock.advance(0);
  assert.deepEqual([first.isOpen, roster.phase], [false, "live"]);
  closeAll(roster);
});

test("rejected request is repeated, and the windows stay live meanwhile", async () => {
  const [roster, status] = [view("roster"), view("status:a")];
  const first = await server.connected(1);
  first.send("roster", "source", "");
  first.send("status:a", "source", "");
  await until(() => status.events.length);
  // A proxy while the server is replaced.
  server.responses.push(new Response("Not Found", { status: 404 }));
  const log = view("log:a");
  await until(() => log.phase === "waiting");
  assert.equal(log.state.reason, "The server responded with status 404.");
  assert.deepEqual([roster.phase, status.phase], ["live", "live"]);
  first.send("status:a", "job_status", "s1");
  await until(() => status.events.length === 2);
  const second = await server.connected(2);
  assert.deepEqual(second.parts, ["roster", "status:a", "log:a"]);
  second.send("log:a", "part_start", "l0");
  await until(() => log.phase === "live");
  assert.deepEqual(roster.phases, ["connecting", "live"]);
  closeAll(roster, status, log);
});
