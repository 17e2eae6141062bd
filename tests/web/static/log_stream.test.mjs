import assert from "node:assert/strict";
import { test } from "node:test";

import { jobLogLines } from "../../../marianne_stream/web/static/js/view/log_source.js";
import { LogStream } from "../../../marianne_stream/web/static/js/view/log_stream.js";

/** @typedef {import("../../../marianne_stream/web/static/js/view/page.js").Page} Page */

/** @param {string[]} parts is filled with what is followed. */
function openStream(parts) {
  const page = {
    /** @param {{part: string, cursor: string}} request */
    follow({ part, cursor }) {
      parts.push(`${part} ${cursor}`);
      return () => {};
    },
  };
  return new LogStream({
    source: jobLogLines(/** @type {Page} */ (/** @type {unknown} */ (page)), "a"),
    getFilter: () => ({ level: "error" }),
    onEvents() {},
    onState() {},
  });
}

test("window that was opened by a link follows the same part as the others", async () => {
  /** @type {string[]} */
  const parts = [];
  openStream(parts).follow("l-1");
  globalThis.fetch = async () => Response.json({ after: "l-1" });
  await openStream(parts).followFromEnd();
  assert.equal(parts.length, 2);
  assert.equal(parts[0], parts[1]);
});

test("window that was opened by a link gets no older lines if the end is unknown", async () => {
  /** @type {string[]} */
  const parts = [];
  globalThis.fetch = async () => new Response("", { status: 503 });
  await openStream(parts).followFromEnd();
  assert.match(parts[0], /^log:a\?tail_lines=0&level=error $/);
});
