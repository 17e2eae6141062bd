import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clockOffset,
  EventStream,
} from "../../../marianne_stream/web/static/js/wire/event_stream.js";

/** @typedef {import("../../../marianne_stream/web/static/js/wire/event_stream.js").Fetch} Fetch */
/** @typedef {import("../../../marianne_stream/web/static/js/wire/event_stream.js").StreamState} StreamState */
/** @typedef {import("../../../marianne_stream/web/static/js/wire/event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {{text: string, ends?: boolean}} StreamText a stream that ends after its text, or stays open. */

/**
 * Make a fetch function that gives prepared responses, one after the other.
 *
 * @param {...(Response | Error | StreamText)} responses
 */
function makeServer(...responses) {
  /** @type {string[]} URLs. */
  const requests = [];
  /** @type {Fetch} */
  const fetch = async (url, { signal }) => {
    requests.push(url);
    const response = responses.shift();
    if (response instanceof Response) return response;
    if (response instanceof Error || !response) throw response;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(response.text));
        if (response.ends) controller.close();
        else {
          signal?.addEventListener("abort", () => {
            controller.error(new DOMException("aborted", "AbortError"));
          });
        }
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  return { fetch, requests };
}

/**
 * Open a stream and wait for a phase.
 *
 * @param {Fetch} fetch
 * @param {StreamState["phase"]} phase
 */
async function follow(fetch, phase) {
  /** @type {ServerSentEvent[]} */
  const events = [];
  /** @type {StreamState[]} */
  const states = [];
  /** @type {(value?: unknown) => void} */
  let resolve = () => {};
  const reached = new Promise((done) => {
    resolve = done;
  });
  const stream = new EventStream(() => `/stream?after=${events.at(-1)?.id ?? ""}`, {
    fetch,
    onEvents: (some) => events.push(...some),
    onState: (state) => {
      states.push(state);
      if (state.phase === phase) resolve();
    },
  });
  stream.open();
  await reached;
  return { stream, events, states };
}

/**
 * @param {string} id
 * @param {string} data
 */
const line = (id, data) => `retry: 10\n\nid: ${id}\nevent: log\ndata: ${data}\n\n`;

test("stream reconnects with a new URL, and stops after status 204", async () => {
  const { fetch, requests } = makeServer(
    { text: line("a", "1"), ends: true },
    { text: line("b", "2"), ends: true },
    new Response(null, { status: 204 }),
  );
  const { events, states } = await follow(fetch, "ended");
  assert.deepEqual(requests, ["/stream?after=", "/stream?after=a", "/stream?after=b"]);
  assert.deepEqual(
    events.map(({ data }) => data),
    ["1", "2"],
  );
  const phases = states.map(({ phase }) => phase);
  assert.deepEqual([...new Set(phases)], ["connecting", "live", "waiting", "ended"]);
});

test("errors are retried, and a client that is not signed in fails", async () => {
  const rejected = Response.json({ code: "unauthenticated", detail: "Sign in." }, { status: 401 });
  const { fetch, requests } = makeServer(
    { text: line("a", "1"), ends: true },
    new Response("", { status: 503 }),
    new TypeError("no network"),
    new Response("", { status: 404 }),
    rejected,
  );
  const { stream, states } = await follow(fetch, "failed");
  assert.equal(requests.length, 5);
  assert.equal(stream.state.status, 401);
  assert.equal(stream.state.detail, "Sign in.");
  const reasons = states.filter(({ phase }) => phase === "waiting").map(({ reason }) => reason);
  assert.deepEqual(reasons, [
    undefined,
    undefined,
    undefined,
    "The server responded with status 404.",
  ]);
});

test("failed stream can be opened anew", async () => {
  const { fetch } = makeServer(new Response("", { status: 401 }), { text: line("a", "1") });
  const { stream, events } = await follow(fetch, "failed");
  stream.open();
  while (!events.length) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(stream.state.phase, "live");
  stream.disconnect();
});

test("stream that was disconnected by its hearer makes no request", async () => {
  const { fetch, requests } = makeServer({ text: line("a", "1") }, { text: line("b", "2") });
  const stream = new EventStream(() => "/stream", {
    fetch,
    onEvents: () => {},
    onState: ({ phase }) => phase === "connecting" && stream.disconnect(),
  });
  stream.open();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(requests, []);
});

test("request without a response is repeated", async (context) => {
  let requests = 0;
  /** @type {Fetch} */
  const fetch = (_url, { signal }) => {
    requests += 1;
    return new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const stream = new EventStream(() => "/stream", { fetch, onEvents: () => {}, onState: () => {} });
  stream.open();
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 14_000 });
  stream.check();
  assert.equal(requests, 1);
  context.mock.timers.setTime(Date.now() + 2_000);
  stream.check();
  assert.equal(requests, 2);
  stream.disconnect();
});

test("silent connection is lost, sooner after a sleep", async (context) => {
  const { fetch, requests } = makeServer(
    { text: line("a", "1") },
    { text: line("b", "2") },
    { text: line("c", "3") },
  );
  const { stream, events } = await follow(fetch, "live");
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 20_000 });
  stream.check();
  assert.equal(requests.length, 1);
  stream.check({ afterSleep: true });
  assert.equal(requests.length, 2);
  while (events.length < 2) await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.setTime(Date.now() + 46_000);
  stream.check();
  assert.equal(requests.length, 3);
  stream.disconnect();
});

test("date of a response bounds the offset of the server's clock", () => {
  const date = "Tue, 24 Nov 2026 12:00:00 GMT";
  const at = Date.parse(date);
  assert.deepEqual(clockOffset(date, at - 300, at - 100), { low: 100, high: 1300 });
  assert.deepEqual(clockOffset(null, 5, 9), { low: 0, high: 0 });
});

test("stream reports the clock offset before its first event", async () => {
  /** @type {string[]} */
  const order = [];
  const headers = { "Content-Type": "text/event-stream", Date: new Date(0).toUTCString() };
  const stream = new EventStream(() => "/stream", {
    fetch: async () => new Response(line("a", "1"), { headers }),
    onEvents: () => order.push("events"),
    onState: ({ phase, offset }) => order.push(offset ? phase : "unknown"),
  });
  stream.open();
  await new Promise((resolve) => setTimeout(resolve, 20));
  stream.disconnect();
  assert.deepEqual(order.slice(0, 3), ["unknown", "live", "events"]);
});

test("stream reconnects if the clock was set back", async () => {
  const { fetch, requests } = makeServer({ text: line("a", "1") }, { text: line("b", "2") });
  const { stream } = await follow(fetch, "live");
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  try {
    stream.check();
  } finally {
    Date.now = now;
  }
  assert.equal(requests.length, 2);
  stream.disconnect();
});

test("silent stream is lost since the last byte", async () => {
  const { fetch } = makeServer({ text: line("a", "1") }, { text: "" });
  const { stream } = await follow(fetch, "live");
  const { now } = Date;
  const heard = now();
  Date.now = () => now() + 3_600_000;
  try {
    stream.check();
  } finally {
    Date.now = now;
  }
  assert.equal(stream.state.phase, "connecting");
  assert.ok(stream.state.since <= heard);
  stream.disconnect();
});
