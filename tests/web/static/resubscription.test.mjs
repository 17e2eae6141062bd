import assert from "node:assert/strict";
import { test } from "node:test";

import { Resubscription } from "../../../marianne_stream/web/static/js/model/resubscription.js";

/**
 * Return the seconds at which attempts are made, asked for each second.
 *
 * @param {Resubscription} resubscription
 * @param {number} from
 * @param {number} until
 * @param {string} [status]
 */
function attempts(resubscription, from, until, status = "running") {
  const seconds = Array.from({ length: until - from }, (_, index) => from + index);
  return seconds.filter((second) => resubscription.isDue(status, 1000 * second));
}

test("attempts become rare while the stream of a listed job fails", () => {
  const resubscription = new Resubscription();
  assert.deepEqual(attempts(resubscription, 0, 1300), [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]);
});

test("change of the status is tried at once, and begins anew", () => {
  const resubscription = new Resubscription();
  attempts(resubscription, 0, 100);
  assert.deepEqual(attempts(resubscription, 100, 110, "paused"), [100, 105]);
  assert.deepEqual(attempts(resubscription, 110, 120, "running"), [110, 115]);
});

test("stream that was live for long, or that the list agreed with, begins anew", () => {
  const resubscription = new Resubscription();
  attempts(resubscription, 0, 100);
  assert.deepEqual(attempts(resubscription, 1000, 1010), [1000, 1005]);
  resubscription.reset();
  assert.deepEqual(attempts(resubscription, 1010, 1020), [1010, 1015]);
});
