import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { StreamHub } from "../../../marianne_stream/web/static/js/wire/stream_hub.js";
import { CombinedServer, until } from "./combined_server.mjs";
import { closeAll, Viewer } from "./stream_viewer.mjs";

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

const BUSY = { status: 503, code: "state_unavailable", detail: "Busy." };

test("error of a part is temporary or for good, and the others go on", async () => {
  const [log, status, roster] = ["log:a", "status:a", "roster"].map((part) => view(part));
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
  const other = view("status:b");
  assert.deepEqual((await server.connected(2)).parts, ["roster", "status:b"]);
  hub.wake();
  await until(() => server.last.parts.includes("status:a"));
  closeAll(log, status, roster, other);
});

test("part that fails after its first event waits longer each time", async () => {
  const [log, roster] = [view("log:a"), view("roster")];
  for (let count = 1; count <= 4; count += 1) {
    await server.connected(count);
    await until(() => server.last.parts.includes("log:a"));
    server.last.send("log:a", "log_missing", "");
    server.last.send("log:a", "part_error", "", BUSY);
    await until(() => log.phase === "waiting" && log.events.length === count);
    if (count < 4) hub.wake();
  }
  assert.ok((log.state.retryAt ?? 0) - Date.now() > 10_000);
  closeAll(log, roster);
});

test("each part with an error is retried when its own time has come", async () => {
  const [slow, fresh, roster] = ["log:a", "log:b", "roster"].map((part) => view(part));
  for (let count = 1; count <= 4; count += 1) {
    await server.connected(count);
    await until(() => server.last.parts.includes("log:a"));
    server.last.send("roster", "source", "");
    server.last.send("log:a", "part_error", "", BUSY);
    await until(() => slow.phase === "waiting");
    if (count < 4) hub.wake();
  }
  server.last.send("log:b", "part_error", "", BUSY);
  await until(() => fresh.phase === "waiting");
  assert.deepEqual((await server.connected(5)).parts, ["log:b", "roster"]);
  assert.ok((slow.state.retryAt ?? 0) > Date.now());
  assert.equal(slow.phase, "waiting");
  closeAll(slow, fresh, roster);
});

test("stream whose parts all wait makes no request without a part", async () => {
  const status = view("status:a");
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
  const first = view("roster");
  await until(() => first.phase === "failed");
  assert.equal(first.states.at(-1)?.status, 401);
  const second = view("roster");
  assert.deepEqual((await server.connected(1)).parts, ["roster"]);
  closeAll(first, second);
});
