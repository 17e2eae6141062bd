import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Hub } from "../../../marianne_stream/web/static/js/wire/hub.js";
import { serve } from "../../../marianne_stream/web/static/js/wire/ports.js";

const open = new Map();
let controllers;

beforeEach(() => {
  controllers = {};
  globalThis.fetch = async (path, { signal }) => {
    open.set(path, (open.get(path) ?? 0) + 1);
    signal.addEventListener("abort", () => open.set(path, open.get(path) - 1));
    const body = new ReadableStream({
      start: (controller) => {
        controllers[path] = controller;
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
});

afterEach(() => open.clear());

function say(path, event, id, data) {
  const text = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  controllers[path].enqueue(new TextEncoder().encode(text));
}

function viewer(visible = true) {
  const seen = { events: [], phase: "", visible, wanted: new Map() };
  return Object.assign(seen, {
    want(hub, path, kind, alone = false) {
      const subscriber = {
        get visible() {
          return seen.visible;
        },
        events: (events) => seen.events.push(...events),
        state: ({ phase }) => (seen.phase = phase),
      };
      seen.wanted.set(path, subscriber);
      hub.subscribe({ path, kind, alone }, subscriber);
    },
    leave(hub) {
      for (const subscriber of seen.wanted.values()) hub.unsubscribe(subscriber);
    },
  });
}

const connections = () => [...open.values()].reduce((sum, count) => sum + count, 0);
const settled = () => new Promise((resolve) => setTimeout(resolve, 10));

test("one connection serves all who want a stream, and one who comes later sees the same", async () => {
  const hub = new Hub();
  const [first, second] = [viewer(), viewer()];
  first.want(hub, "/roster", "roster");
  await settled();
  const job = (job_id, status) => ({ job_id, status });
  say("/roster", "roster", "r1", {
    complete: true,
    jobs: [job("a", "running"), job("b", "queued")],
    removed: [],
  });
  say("/roster", "roster", "r2", { complete: false, jobs: [job("a", "failed")], removed: ["b"] });
  await settled();
  second.want(hub, "/roster", "roster");
  assert.equal(connections(), 1);
  assert.equal(second.phase, "live");
  const [{ data }] = second.events;
  assert.deepEqual(JSON.parse(data).jobs, [job("a", "failed")]);
  first.leave(hub);
  assert.equal(connections(), 1);
  second.leave(hub);
  await settled();
  assert.equal(connections(), 0);
});

test("no more streams are open than leave room for requests, and those that are seen go first", async () => {
  const hub = new Hub();
  const [shown, hidden] = [viewer(true), viewer(false)];
  for (const kind of ["status", "log", "events"]) {
    hidden.want(hub, `/hidden/${kind}`, kind);
  }
  for (const kind of ["status", "log", "events"]) {
    shown.want(hub, `/shown/${kind}`, kind);
  }
  await settled();
  assert.equal(connections(), 4);
  assert.deepEqual(
    [...open]
      .filter(([, count]) => count)
      .map(([path]) => path)
      .sort(),
    ["/hidden/status", "/shown/events", "/shown/log", "/shown/status"],
  );
  hidden.visible = true;
  shown.visible = false;
  hub.reorder();
  await settled();
  assert.equal(open.get("/hidden/log"), 1);
  hub.allowMany();
  await settled();
  assert.equal(connections(), 6);
  shown.leave(hub);
  hidden.leave(hub);
});

test("a stream that has ended leaves its place to another", async () => {
  const hub = new Hub();
  const one = viewer();
  const kinds = ["status", "roster", "log", "log2", "events"];
  for (const kind of kinds) one.want(hub, `/${kind}`, kind.replace("2", ""));
  await settled();
  assert.equal(open.get("/events") ?? 0, 0);
  say("/log", "log_complete", "x", { message: "done" });
  await settled();
  assert.equal(open.get("/events"), 1);
  one.leave(hub);
});

test("a tab that says goodbye is forgotten, and its streams with it", async () => {
  const hub = new Hub();
  const { port1, port2 } = new MessageChannel();
  serve(port1, hub);
  const told = [];
  port2.onmessage = ({ data }) => told.push(data);
  port2.postMessage({ do: "subscribe", id: 7, path: "/status", kind: "status" });
  await settled();
  say("/status", "job_status", "s1", { status: "running" });
  await settled();
  assert.equal(told.filter(({ id, events }) => id === 7 && events).length, 1);
  port2.postMessage({ do: "bye" });
  await settled();
  assert.equal(connections(), 0);
  port1.close();
});

test("a stream that is over begins anew for one who comes later, and not for those who were there", async () => {
  const hub = new Hub();
  const [first, second] = [viewer(), viewer()];
  first.want(hub, "/log", "log");
  await settled();
  say("/log", "log_complete", "x", { message: "done" });
  await settled();
  assert.equal(first.phase, "ended");
  second.want(hub, "/log", "log");
  await settled();
  say("/log", "log", "l1", { line: "again" });
  await settled();
  assert.equal(second.events.length, 1);
  assert.equal(first.events.length, 1);
  first.leave(hub);
  second.leave(hub);
});

test("a stream that begins where one stands is shared with nobody", async () => {
  const hub = new Hub();
  const [first, second] = [viewer(), viewer()];
  first.want(hub, "/log?tail_lines=0", "log", true);
  second.want(hub, "/log?tail_lines=0", "log", true);
  await settled();
  assert.equal(connections(), 2);
  first.leave(hub);
  second.leave(hub);
});

test("one who joins is told the state of the stream before its events", async () => {
  const hub = new Hub();
  const first = viewer();
  first.want(hub, "/roster", "roster");
  await settled();
  say("/roster", "roster", "r1", { complete: true, jobs: [], removed: [] });
  await settled();
  const order = [];
  const joining = {
    visible: true,
    events: () => order.push("events"),
    state: ({ offset }) => order.push(offset ? "state" : "unknown"),
  };
  hub.subscribe({ path: "/roster", kind: "roster" }, joining);
  assert.deepEqual(order, ["state", "events"]);
  hub.unsubscribe(joining);
  first.leave(hub);
});
