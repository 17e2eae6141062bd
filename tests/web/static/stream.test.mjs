import assert from "node:assert/strict";
import { test } from "node:test";

import { offsetOf, Stream } from "../../../marianne_stream/web/static/js/wire/stream.js";

/** Answers one after the other; a text is a stream that ends behind it, null one that never does. */
function server(...answers) {
  const asked = [];
  const fetch = async (url, { headers, signal }) => {
    asked.push(headers["Last-Event-ID"] ?? "");
    const answer = answers.shift();
    if (answer instanceof Response) return answer;
    if (answer instanceof Error) throw answer;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(answer.text));
        if (answer.ends) controller.close();
        signal.addEventListener("abort", () => {
          try {
            controller.error(new DOMException("aborted", "AbortError"));
          } catch {
            // It had ended.
          }
        });
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  return { fetch, asked };
}

/** Follows a stream until it is in a phase, and gives what came. */
async function follow(fetch, phase, act = () => {}) {
  const events = [];
  const phases = [];
  let stream;
  await new Promise((resolve) => {
    stream = new Stream("/stream", {
      fetch,
      onEvents: (some) => events.push(...some),
      onState: (state) => {
        phases.push(state.phase);
        act(stream, state);
        if (state.phase === phase) resolve();
      },
    });
    stream.open();
  });
  return { stream, events, phases };
}

const line = (id, data) => `retry: 10\n\nid: ${id}\nevent: log\ndata: ${data}\n\n`;

test("a stream that ends is gone on with from the last id, and one that is over is not asked for", async () => {
  const { fetch, asked } = server(
    { text: line("a", "1"), ends: true },
    { text: line("b", "2"), ends: true },
    new Response(null, { status: 204 }),
  );
  const { events, phases } = await follow(fetch, "ended");
  assert.deepEqual(asked, ["", "a", "b"]);
  assert.deepEqual(
    events.map(({ data }) => data),
    ["1", "2"],
  );
  assert.deepEqual([...new Set(phases)], ["connecting", "live", "waiting", "ended"]);
});

test("behind the last event of all nothing is asked for", async () => {
  const text = "id: x\nevent: log_complete\ndata: {}\n\n";
  const { fetch, asked } = server({ text, ends: true });
  await follow(fetch, "ended");
  assert.equal(asked.length, 1);
});

test("what may pass is waited for, what will not is told with its reason", async () => {
  const refused = Response.json(
    { code: "job_not_found", detail: "Score not found: a" },
    { status: 404 },
  );
  const { fetch, asked } = server(
    { text: line("a", "1"), ends: true },
    new Response("", { status: 503 }),
    new TypeError("no network"),
    refused,
  );
  const { stream } = await follow(fetch, "failed");
  assert.equal(asked.length, 4);
  assert.equal(stream.state.status, 404);
  assert.equal(stream.state.detail, "Score not found: a");
});

test("a stream that was paused goes on where it was", async () => {
  const { fetch, asked } = server({ text: line("a", "1") }, { text: line("b", "2") });
  const { stream, events } = await follow(fetch, "live");
  stream.pause();
  assert.equal(stream.state.phase, "paused");
  stream.open();
  while (events.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(asked, ["", "a"]);
  stream.close();
});

test("a request without an answer is given up", async (context) => {
  let asked = 0;
  const fetch = (url, { signal }) => {
    asked += 1;
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const stream = new Stream("/stream", { fetch, onEvents: () => {}, onState: () => {} });
  stream.open();
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 14_000 });
  stream.check();
  assert.equal(asked, 1);
  context.mock.timers.setTime(Date.now() + 2_000);
  stream.check();
  assert.equal(asked, 2);
  stream.close();
});

test("a silent connection is taken for lost, sooner after a sleep", async (context) => {
  const { fetch, asked } = server(
    { text: line("a", "1") },
    { text: line("b", "2") },
    { text: line("c", "3") },
  );
  const { stream, events } = await follow(fetch, "live");
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 20_000 });
  stream.check();
  assert.equal(asked.length, 1);
  stream.check({ afterSleep: true });
  assert.equal(asked.length, 2);
  while (events.length < 2) await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.setTime(Date.now() + 46_000);
  stream.check();
  assert.deepEqual(asked, ["", "a", "b"]);
  stream.close();
});

test("answer's date gives bounds for how far the server's clock is ahead", () => {
  const date = "Tue, 24 Nov 2026 12:00:00 GMT";
  const at = Date.parse(date);
  assert.deepEqual(offsetOf(date, at - 300, at - 100), { low: 100, high: 1300 });
  assert.deepEqual(offsetOf(null, 5, 9), { low: 0, high: 0 });
});

test("stream tells the offset of the server's clock before its first event", async () => {
  const order = [];
  const headers = { "Content-Type": "text/event-stream", Date: new Date(0).toUTCString() };
  const stream = new Stream("/stream", {
    fetch: async () => new Response(line("a", "1"), { headers }),
    onEvents: () => order.push("events"),
    onState: ({ phase, offset }) => order.push(offset ? phase : "unknown"),
  });
  stream.open();
  await new Promise((resolve) => setTimeout(resolve, 20));
  stream.close();
  assert.deepEqual(order.slice(0, 3), ["unknown", "live", "events"]);
});

test("stream connects anew where the clock was set back", async () => {
  const { fetch, asked } = server({ text: line("a", "1") }, { text: line("b", "2") });
  const { stream } = await follow(fetch, "live");
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  try {
    stream.check();
  } finally {
    Date.now = now;
  }
  assert.deepEqual(asked, ["", "a"]);
  stream.close();
});

test("stream that has fallen silent is lost since it was heard last", async () => {
  const { fetch } = server({ text: line("a", "1") }, { text: "" });
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
  stream.close();
});
