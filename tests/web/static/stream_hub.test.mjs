import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { servePort } from "../../../marianne_stream/web/static/js/wire/port_server.js";
import { CombinedServer, until } from "./combined_server.mjs";

/** @typedef {import("../../../marianne_stream/web/static/js/wire/stream_part.js").Subscriber} Subscriber */

let server = new CombinedServer();
let hub = new StreamHub();

beforeEach(() => {
  server = new CombinedServer();
  server.install();
  hub = new StreamHub();
});

/** Window that keeps what it gets. */
class Viewer {
  /** @type {import("../../../marianne_stream/web/static/js/wire/event_parser.js").ServerSentEvent[]} */
  events = [];
  /** @type {import("../../../marianne_stream/web/static/js/wire/event_stream.js").StreamState[]} */
  states = [];
  /** @type {Subscriber} */
  #subscriber = {
    onEvents: (events) => this.events.push(...events),
    onState: (state) => this.states.push(state),
  };

  /**
   * @param {string} part
   * @param {string} [cursor]
   */
  constructor(part, cursor) {
    hub.subscribe({ part, cursor }, this.#subscriber);
  }

  get phase() {
    return this.states[this.states.length - 1].phase;
  }

  get ids() {
    return this.events.map(({ id }) => id);
  }

  close() {
    hub.unsubscribe(this.#subscriber);
  }
}

/** @param {Viewer[]} viewers */
function closeAll(...viewers) {
  for (const viewer of viewers) viewer.close();
}

test("parts of all windows are one connection, asked for once", async () => {
  const parts = ["roster", "status:a", "events:a", "log:a", "roster", "status:b"];
  const viewers = parts.map((part) => new Viewer(part));
  const connection = await server.connected(1);
  assert.deepEqual(connection.parts, ["roster", "status:a", "events:a", "log:a", "status:b"]);
  connection.send("status:b", "job_status", "s1", { status: "running" });
  await until(() => viewers[5].events.length);
  assert.deepEqual(
    viewers.map(({ events }) => events.length),
    [0, 0, 0, 0, 0, 1],
  );
  assert.deepEqual(new Set(viewers.map(({ phase }) => phase)), new Set(["live"]));
  closeAll(...viewers);
  await until(() => !server.open.length);
  assert.equal(server.connections.length, 1);
});

test("new part opens the stream anew, and each part resumes at its own cursor", async () => {
  const roster = new Viewer("roster");
  const status = new Viewer("status:a");
  const first = await server.connected(1);
  first.send("roster", "roster", "r1", { complete: true, jobs: [], removed: [] });
  first.send("status:a", "job_sheets", "s1", { complete: true, sheets: [] });
  first.send("status:a", "source", "");
  first.send("roster", "roster", "r2", { complete: false, jobs: [], removed: [] });
  await until(() => roster.events.length === 2);
  const log = new Viewer("log:a,b?level=error", "l1");
  const second = await server.connected(2);
  assert.deepEqual(second.cursors, ["roster,r2", "status:a,s1", "log:a,b?level=error,l1"]);
  assert.equal(first.isOpen, false);
  // The windows that were live stay so; the new one waits for the connection.
  assert.deepEqual([roster.phase, log.phase], ["live", "connecting"]);
  second.send("log:a,b?level=error", "log", "l2");
  await until(() => log.events.length);
  assert.deepEqual(
    roster.states.map(({ phase }) => phase),
    ["connecting", "live"],
  );
  second.break();
  const third = await server.connected(3);
  assert.deepEqual(third.cursors, ["roster,r2", "status:a,s1", "log:a,b?level=error,l2"]);
  assert.deepEqual(
    roster.states.slice(2).map(({ phase }) => phase),
    ["waiting", "connecting"],
  );
  closeAll(roster, status, log);
});

test("ten windows that open one after the other make few requests", async () => {
  /** @type {Viewer[]} */
  const viewers = [];
  for (let number = 0; number < 10; number += 1) {
    for (const kind of ["status", "events", "log"]) viewers.push(new Viewer(`${kind}:${number}`));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(() => server.last?.parts.length === 30);
  assert.equal(server.open.length, 1);
  assert.ok(server.connections.length <= 4, `${server.connections.length} requests`);
  closeAll(...viewers);
});

test("parts that have no room are in a second stream, and the limit is four", async () => {
  const viewers = Array.from({ length: 130 }, (_, number) => new Viewer(`log:${number}`));
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
  const viewers = Array.from({ length: 12 }, (_, n) => new Viewer(`log:${"é".repeat(90)}${n}`));
  await until(() => server.open.flatMap(({ parts }) => parts).length === 12);
  assert.ok(server.open.every(({ url }) => url.length <= 7_100));
  closeAll(...viewers);
});

test("later subscriber gets the current state before its events", async () => {
  const first = new Viewer("roster");
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

test("windows share a log where the cursor of the later one is known", async () => {
  const first = new Viewer("log:a", "l1");
  const connection = await server.connected(1);
  connection.send("log:a", "log", "l2");
  connection.send("log:a", "log", "l3");
  await until(() => first.events.length === 2);
  const [same, behind] = [new Viewer("log:a", "l3"), new Viewer("log:a", "l1")];
  assert.deepEqual([same.ids, behind.ids], [[], ["l2", "l3"]]);
  const ahead = new Viewer("log:a", "l4");
  const second = await server.connected(2);
  assert.deepEqual(second.parts, ["log:a", "log:a?copy=2"]);
  assert.deepEqual(second.cursors, ["log:a,l3", "log:a?copy=2,l4"]);
  second.send("log:a", "log", "l4");
  second.send("log:a", "log", "l5");
  second.send("log:a?copy=2", "log", "l5");
  await until(() => ahead.events.length);
  assert.deepEqual(first.ids, ["l2", "l3", "l4", "l5"]);
  assert.deepEqual(same.ids, ["l4", "l5"]);
  assert.deepEqual(ahead.ids, ["l5"]);
  closeAll(first, same, behind, ahead);
});

test("end of a part ends that part only, and a later subscriber opens it anew", async () => {
  const [first, status] = [new Viewer("log:a"), new Viewer("status:a")];
  const connection = await server.connected(1);
  connection.send("log:a", "log_complete", "c1");
  await until(() => first.phase === "ended");
  assert.ok(connection.isOpen);
  const second = new Viewer("log:a");
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

test("error of a part is temporary or for good, and the others go on", async () => {
  const [log, status, roster] = ["log:a", "status:a", "roster"].map((part) => new Viewer(part));
  const connection = await server.connected(1);
  connection.send("roster", "source", "");
  const missing = { status: 404, code: "job_not_found", detail: "Score not found: a" };
  connection.send("log:a", "part_error", "", missing);
  const busy = { status: 503, code: "state_unavailable", detail: "Busy." };
  connection.send("status:a", "part_error", "", busy);
  await until(() => log.phase === "failed" && status.phase === "waiting");
  assert.equal(log.states.at(-1)?.status, 404);
  assert.equal(log.states.at(-1)?.detail, "Score not found: a");
  assert.ok((status.states.at(-1)?.retryAt ?? 0) > Date.now());
  assert.deepEqual([roster.phase, connection.isOpen], ["live", true]);
  // Meanwhile the part is not asked for; after a sleep, or a while, it is.
  const other = new Viewer("status:b");
  assert.deepEqual((await server.connected(2)).parts, ["roster", "status:b"]);
  hub.wake();
  await until(() => server.last.parts.includes("status:a"));
  closeAll(log, status, roster, other);
});

test("stream whose parts all wait makes no request without a part", async () => {
  const status = new Viewer("status:a");
  const connection = await server.connected(1);
  connection.send("status:a", "part_error", "", { status: 503, code: "busy", detail: "Busy." });
  await until(() => !connection.isOpen);
  hub.wake();
  assert.deepEqual((await server.connected(2)).parts, ["status:a"]);
  status.close();
});

test("rejected stream fails its parts, and a later part is asked for", async () => {
  const error = { code: "unauthenticated", detail: "Sign in." };
  server.responses.push(Response.json(error, { status: 401 }));
  const first = new Viewer("roster");
  await until(() => first.phase === "failed");
  assert.equal(first.states.at(-1)?.status, 401);
  const second = new Viewer("roster");
  assert.deepEqual((await server.connected(1)).parts, ["roster"]);
  closeAll(first, second);
});

test("status 204 ends the parts", async () => {
  server.responses.push(new Response(null, { status: 204 }));
  const log = new Viewer("log:a", "c1");
  await until(() => log.phase === "ended");
  assert.equal(server.connections.length, 0);
  log.close();
});

test("start of a part gives its cursor, and is no event of the page", async () => {
  const log = new Viewer("log:a");
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
  const log = new Viewer("log:a", "l1");
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
