import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ConnectionSlot } from "../../../marianne_stream/web/static/js/wire/connection_slot.js";
import { WebLocks } from "./web_locks.mjs";

let locks = new WebLocks();

beforeEach(() => {
  locks = new WebLocks();
  locks.install();
});

/** Let all requests of locks be answered. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 10));

/** Open a window that has a connection slot, or waits for one. */
async function openWindow() {
  const state = { isLive: false };
  const slot = new ConnectionSlot((isHeld) => {
    state.isLive = isHeld;
  });
  slot.request();
  await settle();
  return { slot, state };
}

/** @param {{state: {isLive: boolean}}[]} windows */
const countLive = (windows) => windows.filter(({ state }) => state.isLive).length;

test("four windows have a slot each, and a fifth takes over one", async () => {
  const windows = [];
  for (let number = 0; number < 5; number += 1) windows.push(await openWindow());
  assert.deepEqual(
    windows.map(({ state }) => state.isLive),
    [true, true, true, true, false],
  );
  // A double click.
  windows[4].slot.takeOver();
  windows[4].slot.takeOver();
  await settle();
  windows[4].slot.takeOver();
  await settle();
  assert.ok(windows[4].state.isLive);
  assert.equal(countLive(windows), 4);
  assert.equal(locks.held.size, 4);
});

test("window whose slot was taken over gets the next free one", async () => {
  const windows = [];
  for (let number = 0; number < 6; number += 1) windows.push(await openWindow());
  for (const taker of [4, 5, 4, 5]) {
    if (!windows[taker].state.isLive) windows[taker].slot.takeOver();
    await settle();
    assert.equal(countLive(windows), 4);
    assert.equal(locks.held.size, 4);
  }
  const [name] = locks.held.keys();
  locks.release(name);
  await settle();
  assert.equal(locks.held.size, 4);
});
