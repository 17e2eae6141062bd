import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";

import { servePort } from "../../../marianne_stream/web/static/js/wire/port_server.js";
import { StreamClient } from "../../../marianne_stream/web/static/js/wire/stream_client.js";
import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { CombinedServer, until } from "./combined_server.mjs";

let server = new CombinedServer();

/** Document of a window, as far as the client uses it. */
class FakeDocument extends EventTarget {
  documentElement = { dataset: {} };
  visibilityState = "visible";

  /** @param {"visible" | "hidden"} state */
  show(state) {
    this.visibilityState = state;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

let page = new FakeDocument();

/** @type {MessagePort[]} open ports, which keep the process. */
const ports = [];

class RecordedChannel extends MessageChannel {
  constructor() {
    super();
    ports.push(this.port1, this.port2);
  }
}

/** @param {Record<string, unknown>} values */
function setGlobals(values) {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

beforeEach(() => {
  server = new CombinedServer();
  server.install();
  page = new FakeDocument();
  setGlobals({
    document: page,
    // Without Web Locks, as in a page that was loaded by HTTP from another machine.
    navigator: {},
    addEventListener: () => {},
    // The hub of a page goes on for as long as the page exists.
    setInterval: () => 0,
    MessageChannel: RecordedChannel,
    SharedWorker: undefined,
  });
  performance.getEntriesByType = () => [];
});

after(() => {
  for (const port of ports) port.close();
});

test("worker that comes up late serves nothing twice", async (context) => {
  const channel = new RecordedChannel();
  class SharedWorker {
    port = channel.port1;
    /** @type {(() => void) | null} */
    onerror = null;
  }
  setGlobals({ SharedWorker });
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const client = new StreamClient(() => {});
  /** @type {string[]} */
  const ids = [];
  client.subscribe({
    part: "log:a",
    onEvents: (events) => ids.push(...events.map(({ id }) => id)),
    onState: () => {},
  });
  // The worker has not answered in time.
  context.mock.timers.tick(5_000);
  context.mock.timers.reset();
  const hub = new StreamHub();
  servePort(channel.port2, hub);
  await until(() => server.open.length);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(server.open.length, 1);
  server.last.send("log:a", "log", "l1");
  await until(() => ids.length);
  assert.deepEqual(ids, ["l1"]);
  page.show("hidden");
});

test("window without slots connects while it is visible", async () => {
  page.visibilityState = "hidden";
  const client = new StreamClient(() => {});
  /** @type {string[]} */
  const ids = [];
  client.subscribe({
    part: "log:a",
    onEvents: (events) => ids.push(...events.map(({ id }) => id)),
    onState: () => {},
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(server.connections.length, 0);
  page.show("visible");
  const first = await server.connected(1);
  first.send("log:a", "log", "l1");
  await until(() => ids.length);
  page.show("hidden");
  await until(() => !first.isOpen);
  page.show("visible");
  assert.deepEqual((await server.connected(2)).cursors, ["log:a,l1"]);
  page.show("hidden");
});
