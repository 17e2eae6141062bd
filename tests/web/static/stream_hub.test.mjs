import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { servePort } from "../../../marianne_stream/web/static/js/wire/port_server.js";
import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { CombinedServer, until } from "./combined_server.mjs";
import { FakeClock } from "./fake_clock.mjs";
import { closeAll, Viewer } from "./stream_viewer.mjs";

/** @typedef {import("../../../marianne_stream/web/static/js/wire/stream_part.js").Subscriber} Subscriber */

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

test("parts of all windows are one connection, asked for once", async () => {
  const parts = ["roster", "status:a", "events:a", "log:a", "roster", "status:b"];
  const viewers = parts.map((part) => view(part));
  const connection = await server.connected(1);
  assert.deepEqual(connection.parts, ["roster", "status:a", "events:a", "log:a", "status:b"]);
  connection.send("status:b", "job_status", "s1", { status: "running" });
  await until(() => viewers[5].events.length);
  assert.deepEqual(
    viewers.map(({ events }) => events.length),
    [0, 0, 0, 0, 0, 1],
  );
  // A part is live once it has begun.
  assert.deepEqual(
    viewers.map(({ phase }) => phase === "live"),
    [false, false, false, false, false, true],
  );
  closeAll(...viewers);
  await until(() => !server.open.length);
  assert.equal(server.connections.length, 1);
});

test("ten windows that open one after the other make few requests", async (t) => {
  const clock = new FakeClock(t.mock);
  /** @type {Viewer[]} */
  const viewers = [];
  for (let number = 0; number < 10; number += 1) {
    for (const kind of ["status", "events", "log"]) viewers.push(view(`${kind}:${number}`));
    await clock.advance(20);
  }
  await clock.advance(250);
  assert.deepEqual(
    server.connections.map(({ parts }) => parts.length),
    [3, 30],
  );
  assert.equal(server.open.length, 1);
  closeAll(...viewers);
});

test("parts that have no room are in a second stream, and the limit is four", async () => {
  const viewers = Array.from({ length: 130 }, (_, number) => view(`log:${number}`));
  await server.connected(4);
  assert.deepEqual(
    server.open.map(({ parts }) => parts.length),
    [32, 32, 32, 32],
  );
  assert.deepEqual([viewers[128].phase, viewers[129].phase], ["paused", "paused"]);
  viewers[40].close();
  viewers[41].close();
  await until(() => server.last.parts.includes("log:129"));
  assert.deepEqual(
    server.open.map(({ parts }) => parts.length),
    [32, 32, 32, 32],
  );
  closeAll(...viewers);
});

test("long names are in several streams: a URL has a limit", async () => {
  const viewers = Array.from({ length: 12 }, (_, n) => view(`log:${"é".repeat(90)}${n}`));
  await until(() => server.open.flatMap(({ parts }) => parts).length === 12);
  assert.ok(server.open.every(({ url }) => url.length <= 7_100));
  closeAll(...viewers);
});

test("URL of a long text that is followed fits into a request line of 8 KiB", async () => {
  // The field of the search takes 400 characters.
  const query = new URLSearchParams({ tail_lines: "1000", contains: "あ".repeat(400) });
  const log = view(`log:tide-tables?${query}`, "l1");
  const { url, cursors } = await server.connected(1);
  assert.ok(url.length <= 7_500, `${url.length} characters`);
  assert.deepEqual(cursors, [`log:tide-tables?${query},l1`]);
  log.close();
});

test("later subscriber gets the current state before its events", async () => {
  const first = view("roster");
  const connection = await server.connected(1);
  /**
   * @param {string} job_id
   * @param {string} status
   */
  const job = (job_id, status) => ({ job_id, status });
  const jobs = [job("a", "running"), job("b", "queued")];
  connection.send("roster", "roster", "r1", { complete: true, jobs, removed: [] });
  connection.send("roster", "conductor", "", { running_jobs: 2 });
  const changed = [job("a", "failed")];
  connection.send("roster", "roster", "r2", { complete: false, jobs: changed, removed: ["b"] });
  connection.send("roster", "conductor", "", { running_jobs: 1 });
  await until(() => first.events.length === 4);
  /** @type {string[]} */
  const order = [];
  /** @type {Subscriber} */
  const joining = {
    onEvents: (events) => order.push(...events.map(({ data }) => data)),
    onState: ({ phase, offset }) => order.push(offset ? phase : "unknown"),
  };
  hub.subscribe({ part: "roster" }, joining);
  assert.equal(order[0], "live");
  assert.deepEqual(JSON.parse(order[1]).jobs, [job("a", "failed")]);
  assert.equal(JSON.parse(order[2]).running_jobs, 1);
  assert.equal(order.length, 3);
  assert.equal(server.connections.length, 1);
  hub.unsubscribe(joining);
  first.close();
});

test("end of a part ends that part only, and a later subscriber opens it anew", async () => {
  const [first, status] = [view("log:a"), view("status:a")];
  const connection = await server.connected(1);
  connection.send("log:a", "log_complete", "c1");
  await until(() => first.phase === "ended");
  assert.ok(connection.isOpen);
  const second = view("log:a");
  const next = await server.connected(2);
  assert.deepEqual(next.parts, ["status:a", "log:a"]);
  next.send("log:a", "log", "l1");
  await until(() => second.events.length);
  assert.equal(first.events.length, 1);
  next.send("log:a", "log_complete", "c2");
  next.send("status:a", "job_finished", "f1");
  await until(() => status.phase === "ended");
  // With the last part the connection ends, and no other follows.
  assert.deepEqual(server.open, []);
  closeAll(first, second, status);
});

test("parts whose cursors have become too long for one URL are in several streams", async () => {
  const parts = Array.from({ length: 10 }, (_, number) => `events:${number}`);
  const viewers = parts.map((part) => view(part));
  const first = await server.connected(1);
  assert.equal(first.parts.length, 10);
  // The cursor of an edge has the positions of all its sources.
  const positions = `.${"b".repeat(16)}-123456`.repeat(50);
  for (const part of parts) first.send(part, "source", `t-${"a".repeat(16)}-1${positions}`);
  await until(() => viewers.every(({ phase }) => phase === "live"));
  first.break();
  await until(() => server.open.flatMap((connection) => connection.parts).length === 10);
  assert.ok(server.open.length > 1);
  assert.ok(server.open.every(({ url }) => url.length <= 7_500));
  assert.ok(server.open.every(({ parts: some, cursors }) => cursors.length === some.length));
  closeAll(...viewers);
});

test("window that waits for room is told once", async () => {
  const viewers = Array.from({ length: 129 }, (_, number) => view(`log:${number}`));
  const waiting = viewers[128];
  assert.equal(waiting.phase, "paused");
  const { since } = waiting.state;
  const other = view("log:x");
  other.close();
  assert.deepEqual(waiting.phases, ["connecting", "paused"].slice(-waiting.phases.length));
  assert.equal(waiting.states.filter(({ phase }) => phase === "paused").length, 1);
  assert.equal(waiting.state.since, since);
  closeAll(...viewers);
});

test("status 204 ends the parts", async () => {
  server.responses.push(new Response(null, { status: 204 }));
  const log = view("log:a", "c1");
  await until(() => log.phase === "ended");
  assert.equal(server.connections.length, 0);
  log.close();
});

test("start of a part gives its cursor, and is no event of the page", async () => {
  const log = view("log:a");
  const connection = await server.connected(1);
  connection.send("log:a", "part_start", "l0");
  await until(() => log.phase === "live");
  connection.break();
  assert.deepEqual((await server.connected(2)).cursors, ["log:a,l0"]);
  assert.deepEqual(log.events, []);
  log.close();
});

test("paused hub has no connection, and goes on at its cursors", async () => {
  hub = new StreamHub({ isPaused: true });
  const log = view("log:a", "l1");
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(server.connections.length, 0);
  hub.resume();
  const connection = await server.connected(1);
  connection.send("log:a", "log", "l2");
  await until(() => log.phase === "live");
  hub.pause();
  assert.deepEqual([log.phase, connection.isOpen], ["connecting", false]);
  hub.resume();
  assert.deepEqual((await server.connected(2)).cursors, ["log:a,l2"]);
  log.close();
});

test("closed tab ends its subscriptions", async () => {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, hub);
  /** @type {{id?: number, events?: object[]}[]} */
  const messages = [];
  port2.onmessage = ({ data }) => messages.push(data);
  port2.postMessage({ type: "subscribe", id: 7, part: "status:a" });
  const connection = await server.connected(1);
  connection.send("status:a", "job_status", "s1", { status: "running" });
  await until(() => messages.some(({ id, events }) => id === 7 && events));
  port2.postMessage({ type: "close" });
  await until(() => !server.open.length);
  port1.close();
});
