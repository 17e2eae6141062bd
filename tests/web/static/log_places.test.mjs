import assert from "node:assert/strict";
import { test } from "node:test";

import { jumpStart, jumpTime } from "../../../marianne_stream/web/static/js/model/jump_time.js";
import {
  isSameLine,
  makeLineFragment,
  parseLineFragment,
} from "../../../marianne_stream/web/static/js/model/line_links.js";
import { TimeFormat } from "../../../marianne_stream/web/static/js/model/time_format.js";

/**
 * @param {number} number of the line.
 * @param {string} [file] hash of the first line of its file.
 */
function line(number, file = "5b1c6a0d9e3f2a77") {
  return { number, cursor: `l-2fa41c-${file}-${100 * number}-${number}-09c1de55a7b3e84${number}` };
}

test("link to lines has their numbers and a check of the first", () => {
  assert.equal(makeLineFragment(line(6), line(6)), "#L6.09c1de55");
  assert.equal(makeLineFragment(line(6), line(9)), "#L6-L9.09c1de55");
  const range = { first: 6, last: 9, check: "09c1de55" };
  assert.deepEqual(parseLineFragment("#L6-L9.09c1de55"), range);
  assert.deepEqual(parseLineFragment("#L9-6"), { ...range, check: "" });
  assert.ok(isSameLine(line(6).cursor, "09c1de55"));
  assert.ok(isSameLine(line(6).cursor, ""));
  assert.ok(!isSameLine(line(6).cursor, "09c1de56"));
});

test("link through two files, and one with other cursors, names cursors", () => {
  const [from, to] = [line(6), line(2, "0000000000000001")];
  const fragment = makeLineFragment(from, to);
  assert.equal(fragment, `#line=${from.cursor}..${to.cursor}`);
  assert.deepEqual(parseLineFragment(fragment), { from: from.cursor, to: to.cursor });
  const other = { number: 3, cursor: "r-1-a" };
  assert.equal(makeLineFragment(other, other), "#line=r-1-a");
  assert.deepEqual(parseLineFragment("#line=r-1-a"), { from: "r-1-a", to: "r-1-a" });
  for (const invalid of ["", "#elsewhere", "#L", "#L1-", "#L6.xyz"]) {
    assert.equal(parseLineFragment(invalid), null);
  }
});

test("time to jump to is in the zone in which the log is shown", () => {
  const times = new TimeFormat({ now: () => 0 });
  /** @type {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogRow} */
  const unzoned = {
    kind: "line",
    text: "",
    number: 1,
    cursor: "",
    loggedAt: "2026-11-24T03:05:10.5",
  };
  const zoned = { ...unzoned, loggedAt: "2026-11-24T03:05:10+02:00" };
  const none = { ...unzoned, loggedAt: "" };
  times.zone = "utc";
  assert.deepEqual(jumpStart([none, unzoned], times), {
    zone: "written",
    value: "2026-11-24T03:05:10",
  });
  assert.deepEqual(jumpStart([zoned], times), { zone: "utc", value: "2026-11-24T01:05:10" });
  assert.deepEqual(jumpStart([none], times), { zone: "utc", value: "" });
  assert.equal(jumpTime("2026-11-24T03:05", "written"), "2026-11-24T03:05");
  assert.equal(jumpTime("2026-11-24T03:05", "utc"), "2026-11-24T03:05Z");
  const local = new Date("2026-11-24T03:05").toISOString();
  assert.equal(jumpTime("2026-11-24T03:05", "local"), local);
});
