import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { servePort } from "../../../marianne_stream/web/static/js/wire/port_server.js";

/** @typedef {import("../../../marianne_stream/web/static/js/wire/stream_hub.js").Subscriber} Subscriber */
/** @typedef {import("../../../marianne_stream/web/static/js/wire/replay_buffer.js").StreamKind} StreamKind */

/** @type {Map<string, number>} number of open connections by path. */
const open = new Map();
/** @type {Record<string, ReadableStreamDefaultController>} */
let controllers;

beforeEach(() => {
  controllers = {};
  globalThis.fetch = async (input, init) => {
    const path = String(input);
    const signal = /** @type {AbortSignal} */ (init?.signal);
    open.set(path, (open.get(path) ?? 0) + 1);
    signal.addEventListener("abort", () => open.set(path, (open.get(path) ?? 0) - 1));
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

/**
 * Send an event on an open stream.
 *
 * @param {string} path
 * @param {string} event
 * @param {string} id
 * @param {object} data
 */
function send(path, event, id, data) {
  const text = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  controllers[path].enqueue(new TextEncoder().encode(text));
}

/** Subscriber of several streams that keeps what it gets. */
class Viewer {
  /** @type {import("../../../marianne_stream/web/static/js/wire/event_parser.js").ServerSentEvent[]} */
  events = [];
  phase = "";
  /** @type {Set<Subscriber>} */
  #subscribers = new Set();

  constructor({ isVisible = true } = {}) {
    this.isVisible = isVisible;
  }

  /**
   * @param {StreamHub} hub
   * @param {string} path
   * @param {StreamKind} kind
   * @param {boolean} [exclusive]
   */
  subscribe(hub, path, kind, exclusive = false) {
    /** @type {Subscriber} */
    const subscriber = {
      isVisible: () => this.isVisible,
      onEvents: (events) => this.events.push(...events),
      onState: ({ phase }) => (this.phase = phase),
    };
    this.#subscribers.add(subscriber);
    hub.subscribe({ path, kind, exclusive }, subscriber);
  }

  /** @param {StreamHub} hub */
  unsubscribe(hub) {
    for (const subscriber of this.#subscribers) hub.unsubscribe(subscriber);
  }
}

const connections = () => [...open.values()].reduce((sum, count) => sum + count, 0);
const settled = () => new Promise((resolve) => setTimeout(resolve, 10));

test("subscribers share one connection, and a later subscriber gets the current state", async () => {
  const hub = new StreamHub();
  const [first, second] = [new Viewer(), new Viewer()];
  first.subscribe(hub, "/roster", "roster");
  await settled();
  /**
   * @param {string} job_id
   * @param {string} status
   */
  const job = (job_id, status) => ({ job_id, status });
  send("/roster", "roster", "r1", {
    complete: true,
    jobs: [job("a", "running"), job("b", "queued")],
    removed: [],
  });
  send("/roster", "roster", "r2", { complete: false, jobs: [job("a", "failed")], removed: ["b"] });
  await settled();
  second.subscribe(hub, "/roster", "roster");
  assert.equal(connections(), 1);
  assert.equal(second.phase, "live");
  const [{ data }] = second.events;
  assert.deepEqual(JSON.parse(data).jobs, [job("a", "failed")]);
  first.unsubscribe(hub);
  assert.equal(connections(), 1);
  second.unsubscribe(hub);
  await settled();
  assert.equal(connections(), 0);
});

test("open streams are limited, and streams of visible tabs go first", async () => {
  const hub = new StreamHub();
  const [shown, hidden] = [new Viewer(), new Viewer({ isVisible: false })];
  for (const kind of /** @type {StreamKind[]} */ (["status", "log", "events"])) {
    hidden.subscribe(hub, `/hidden/${kind}`, kind);
  }
  for (const kind of /** @type {StreamKind[]} */ (["status", "log", "events"])) {
    shown.subscribe(hub, `/shown/${kind}`, kind);
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
  hidden.isVisible = true;
  shown.isVisible = false;
  hub.schedule();
  await settled();
  assert.equal(open.get("/hidden/log"), 1);
  hub.allowMultiplexing();
  await settled();
  assert.equal(connections(), 6);
  shown.unsubscribe(hub);
  hidden.unsubscribe(hub);
});

test("ended stream makes room for another", async () => {
  const hub = new StreamHub();
  const one = new Viewer();
  const kinds = ["status", "roster", "log", "log2", "events"];
  for (const kind of kinds) {
    one.subscribe(hub, `/${kind}`, /** @type {StreamKind} */ (kind.replace("2", "")));
  }
  await settled();
  assert.equal(open.get("/events") ?? 0, 0);
  send("/log", "log_complete", "x", { message: "done" });
  await settled();
  assert.equal(open.get("/events"), 1);
  one.unsubscribe(hub);
});

test("closed tab ends its subscriptions", async () => {
  const hub = new StreamHub();
  const { port1, port2 } = new MessageChannel();
  servePort(port1, hub);
  /** @type {{id?: number, events?: object[]}[]} */
  const messages = [];
  port2.onmessage = ({ data }) => messages.push(data);
  port2.postMessage({ type: "subscribe", id: 7, path: "/status", kind: "status" });
  await settled();
  send("/status", "job_status", "s1", { status: "running" });
  await settled();
  assert.equal(messages.filter(({ id, events }) => id === 7 && events).length, 1);
  port2.postMessage({ type: "close" });
  await settled();
  assert.equal(connections(), 0);
  port1.close();
});

test("ended stream is opened anew for a later subscriber only", async () => {
  const hub = new StreamHub();
  const [first, second] = [new Viewer(), new Viewer()];
  first.subscribe(hub, "/log", "log");
  await settled();
  send("/log", "log_complete", "x", { message: "done" });
  await settled();
  assert.equal(first.phase, "ended");
  second.subscribe(hub, "/log", "log");
  await settled();
  send("/log", "log", "l1", { line: "again" });
  await settled();
  assert.equal(second.events.length, 1);
  assert.equal(first.events.length, 1);
  first.unsubscribe(hub);
  second.unsubscribe(hub);
});

test("exclusive stream is not shared", async () => {
  const hub = new StreamHub();
  const [first, second] = [new Viewer(), new Viewer()];
  first.subscribe(hub, "/log?tail_lines=0", "log", true);
  second.subscribe(hub, "/log?tail_lines=0", "log", true);
  await settled();
  assert.equal(connections(), 2);
  first.unsubscribe(hub);
  second.unsubscribe(hub);
});

test("subscriber gets the state of an open stream before its events", async () => {
  const hub = new StreamHub();
  const first = new Viewer();
  first.subscribe(hub, "/roster", "roster");
  await settled();
  send("/roster", "roster", "r1", { complete: true, jobs: [], removed: [] });
  await settled();
  /** @type {string[]} */
  const order = [];
  /** @type {Subscriber} */
  const joining = {
    isVisible: () => true,
    onEvents: () => order.push("events"),
    onState: ({ offset }) => order.push(offset ? "state" : "unknown"),
  };
  hub.subscribe({ path: "/roster", kind: "roster" }, joining);
  assert.deepEqual(order, ["state", "events"]);
  hub.unsubscribe(joining);
  first.unsubscribe(hub);
});
