/**
 * Gantt chart of a job's sheets: rows, segments of bars, span and ticks. Lengths of rows are in rem,
 * times in epoch milliseconds.
 */

import { isAtWork, statusLabel } from "./status.js";
import { formatShortDuration } from "./time_format.js";

/** @typedef {import("./job.js").Sheet} Sheet */
/** @typedef {import("./sheet_history.js").Transition} Transition */

/**
 * @typedef {object} Segment part of a bar.
 * @property {"work" | "wait" | "unknown"} kind `unknown` for work and waits that nobody has seen.
 * @property {number} from
 * @property {number} to
 * @property {boolean} isFailed true for an attempt that another one followed.
 * @property {number | null} attempt
 */

/**
 * @typedef {object} Row
 * @property {number} top
 * @property {string} heading of a movement; "" for a sheet.
 * @property {Sheet | null} sheet
 */

export const ROW_REM = 1.75;

/** Statuses of sheets that have run to their end. */
const RAN = new Set(["completed", "failed"]);

const WAIT = new Set(["waiting", "retry_scheduled", "fermata", "pending", "ready"]);

/** Nice distances of ticks. */
const TICK_MS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
]
  .concat([1, 2, 7, 14, 30].map((days) => days * 86_400))
  .map((seconds) => seconds * 1000);

/** Share of the chart behind the current time, for the now-line. */
const MARGIN_SHARE = 0.04;

/**
 * Return true if a sheet with this status has not ended.
 *
 * @param {string} status
 */
export function isActive(status) {
  return isAtWork(status) || WAIT.has(status);
}

/**
 * Return the start and the end of a sheet. The end of an active sheet is `now`.
 *
 * @param {Sheet} sheet
 * @param {number} now
 * @returns {{from: number, to: number}} NaN if unknown.
 */
export function sheetSpan(sheet, now) {
  const from = Date.parse(sheet.started_at ?? "");
  return {
    from,
    to: isActive(sheet.status) ? Math.max(from, now) : Date.parse(sheet.completed_at ?? ""),
  };
}

/**
 * Return the parts of a sheet's bar; none if its start or end is unknown.
 *
 * @param {Sheet} sheet
 * @param {Transition[]} transitions of the sheet, oldest first.
 * @param {number} now
 * @returns {Segment[]}
 */
export function sheetSegments(sheet, transitions, now) {
  const { from, to } = sheetSpan(sheet, now);
  if (!(to >= from)) return [];
  /** @type {Segment[]} */
  const segments = [{ kind: "work", from, to, isFailed: false, attempt: null }];
  for (const { status, at, attempt } of transitions) {
    const kind = segmentKind(status);
    const last = /** @type {Segment} */ (segments.at(-1));
    if (kind === null || at > to) continue;
    const isNextAttempt =
      kind === "work" && last.attempt !== null && attempt !== last.attempt && at > last.from;
    if (at <= last.from || (kind === last.kind && !isNextAttempt)) {
      last.attempt = attempt;
      continue;
    }
    last.to = at;
    last.isFailed = last.kind === "work" && (isNextAttempt || status === "retry_scheduled");
    segments.push({ kind, from: at, to, isFailed: false, attempt });
  }
  const last = /** @type {Segment} */ (segments.at(-1));
  if (segments.length === 1 && WAIT.has(sheet.status)) last.kind = "unknown";
  return segments;
}

/**
 * Return why a sheet that is not waiting for its start has no bar, in words; "" if it has one.
 *
 * @param {Sheet} sheet
 * @param {number} now
 * @param {import("./time_format.js").TimeFormat} times
 */
export function missingBarWords(sheet, now, times) {
  const { from, to } = sheetSpan(sheet, now);
  if (to >= from) return "";
  if (isAtWork(sheet.status)) return "start unknown";
  if (isActive(sheet.status)) return "";
  const hasRun = sheet.attempt || sheet.started_at || sheet.completed_at;
  if (!hasRun && !RAN.has(sheet.status)) return "did not run";
  if (!Number.isNaN(from) && Number.isNaN(to)) {
    return `started ${times.shortDateTime(from)}, end unknown`;
  }
  if (!Number.isNaN(to) && Number.isNaN(from)) {
    return `ended ${times.shortDateTime(to)}, start unknown`;
  }
  return "start and end unknown";
}

/**
 * @param {string} status
 * @returns {Segment["kind"] | null} null for the end of a sheet.
 */
function segmentKind(status) {
  if (isAtWork(status)) return "work";
  return WAIT.has(status) ? "wait" : null;
}

/**
 * Return the time that the chart shows; null if no time is known.
 *
 * @param {import("./job.js").JobStatus} job
 * @param {Sheet[]} sheets
 * @param {number} now
 * @param {boolean} goesOn false for a job that has ended or stands still.
 * @returns {{from: number, to: number, now: number | null} | null} `now` is null for a job that does not
 *   go on.
 */
export function ganttSpan(job, sheets, now, goesOn) {
  let from = Date.parse(job.started_at ?? "");
  let to = Date.parse(job.completed_at ?? "");
  for (const sheet of sheets) {
    const span = sheetSpan(sheet, now);
    if (!(span.from >= from)) from = Number.isNaN(span.from) ? from : span.from;
    if (!(span.to <= to)) to = Number.isNaN(span.to) ? to : span.to;
  }
  if (Number.isNaN(from)) return null;
  if (!goesOn) return to > from ? { from, to, now: null } : null;
  if (!(now >= from)) return null;
  return { from, to: now + Math.max(1000, (now - from) * MARGIN_SHARE), now };
}

/**
 * Return times of ticks at round distances.
 *
 * @param {{from: number, to: number}} span
 * @param {number} count about the largest number of ticks.
 * @param {number} offset of the time zone, in milliseconds, so that ticks fall on round local times.
 * @returns {{step: number, times: number[]}} `step` in milliseconds.
 */
export function ganttTicks({ from, to }, count, offset) {
  const step = TICK_MS.find((distance) => (to - from) / distance <= count);
  if (!step) return { step: 0, times: [] };
  const times = [];
  for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) {
    times.push(at);
  }
  // A short job may lie between two of them.
  return { step, times: times.length ? times : [from] };
}

/**
 * Return the rows of the chart: the sheets, with a heading before each movement.
 *
 * @param {{movement: string | number | null, sheets: Sheet[]}[]} movements
 * @returns {Row[]}
 */
export function ganttRows(movements) {
  /** @type {Omit<Row, "top">[]} */
  const rows = [];
  for (const { movement, sheets } of movements) {
    if (movement !== null) {
      const done = sheets.filter(({ status }) => status === "completed").length;
      rows.push({ heading: `Movement ${movement} · ${done} of ${sheets.length}`, sheet: null });
    }
    for (const sheet of sheets) rows.push({ heading: "", sheet });
  }
  return rows.map((row, index) => ({ ...row, top: index * ROW_REM }));
}

/**
 * Return the rows within a viewport, and one beyond each edge.
 *
 * @param {Row[]} rows
 * @param {number} top in rem.
 * @param {number} height in rem.
 */
export function visibleRows(rows, top, height) {
  const first = Math.max(0, Math.floor(top / ROW_REM) - 1);
  return rows.slice(first, Math.ceil((top + height) / ROW_REM) + 1);
}

/**
 * Return the number of the sheet that needs a reader: the first that has failed in a job that has failed,
 * or the one that waits for a person; null for none.
 *
 * @param {import("./job.js").JobStatus} job
 * @param {Sheet[]} sheets ordered by number.
 */
export function sheetToOpen(job, sheets) {
  if (job.status === "failed") {
    return sheets.find(({ status }) => status === "failed")?.number ?? null;
  }
  if (job.waiting?.code !== "person") return null;
  return sheets.find(({ number }) => number === job.waiting?.sheet)?.number ?? null;
}

/**
 * Return the name of a sheet's row for screen readers.
 *
 * @param {Sheet} sheet
 * @param {object} options
 * @param {string} options.duration "" if it is unknown.
 * @param {boolean} [options.isPast] the job was deleted while the sheet was active.
 */
export function sheetLabel(sheet, { duration, isPast = false }) {
  const status = statusLabel(sheet.status);
  return [
    `Sheet ${sheet.number}`,
    isPast ? `was ${status}` : status,
    sheet.instrument_name,
    (sheet.attempt ?? 1) > 1 && `attempt ${sheet.attempt}`,
    duration,
    sheet.error_message && "has an error",
  ]
    .filter(Boolean)
    .join(", ");
}

/**
 * Return what the bar of a sheet shows beside its length: "2 failed attempts, 1 wait"; "" for nothing.
 *
 * @param {Segment[]} segments
 */
export function barLabel(segments) {
  const failed = segments.filter(({ isFailed }) => isFailed).length;
  const waits = segments.filter(({ kind }) => kind === "wait").length;
  return [
    failed && `${failed} failed ${failed === 1 ? "attempt" : "attempts"}`,
    waits && `${waits} ${waits === 1 ? "wait" : "waits"}`,
  ]
    .filter(Boolean)
    .join(", ");
}

/**
 * Return the words for a part of a bar.
 *
 * @param {Segment} segment
 */
export function segmentLabel({ kind, from, to, isFailed, attempt }) {
  const duration = formatShortDuration(to - from);
  if (kind === "wait") return `waits, ${duration}`;
  if (kind === "unknown") return `at work, then waits, ${duration} in all`;
  const name = attempt === null ? "at work" : `attempt ${attempt}`;
  return `${name}${isFailed ? ", failed" : ""}, ${duration}`;
}
