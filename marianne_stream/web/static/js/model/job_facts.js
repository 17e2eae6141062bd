/** Facts about a job for its head: estimated end, cost, tokens, and sentences about waits. */

import { isAtWork } from "./status.js";
import { formatDuration } from "./time_format.js";

/** @typedef {import("./server_clock.js").ServerClock} ServerClock */
/** @typedef {import("./time_format.js").TimeFormat} TimeFormat */

/** Number of ranges of sheets that are named. */
const MAX_RANGES = 4;

/**
 * Format an estimated end: `about 23:18, in 4 min`. While the page is not live, only the time of day: the
 * job may be further by now. "" if there is no estimate.
 *
 * @param {string | null | undefined} eta ISO 8601.
 * @param {ServerClock} clock
 * @param {TimeFormat} times
 */
export function formatEta(eta, clock, times) {
  const at = Date.parse(eta ?? "");
  if (Number.isNaN(at)) return "";
  const time = `about ${times.shortDateTime(at)}`;
  return clock.isLive ? `${time}, ${formatEstimate(at - clock.now())}` : time;
}

/**
 * Format the rest until an estimated end, to the minute: an estimate is not more precise.
 *
 * @param {number} ms
 */
export function formatEstimate(ms) {
  if (ms <= 0) return "any moment";
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return minutes < 1 ? "in < 1 min" : `in ${minutes} min`;
  return `in ${formatDuration(minutes * 60_000)}`;
}

/**
 * Return the sheets that are at work, as words: `sheet 7`, `4 sheets: 7 to 10`; "" if there are none.
 *
 * @param {import("./job.js").Sheet[]} sheets ordered by number.
 */
export function sheetsAtWork(sheets) {
  const numbers = sheets.filter(({ status }) => isAtWork(status)).map(({ number }) => number);
  if (numbers.length < 2) return numbers.length ? `sheet ${numbers[0]}` : "";
  /** @type {[number, number][]} first and last number of each range. */
  const ranges = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  const shown = ranges.slice(0, MAX_RANGES).map(([from, to]) => {
    if (to === from) return `${from}`;
    return to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`;
  });
  const more = ranges.length > MAX_RANGES ? " and others" : "";
  return `${numbers.length} sheets: ${shown.join(", ")}${more}`;
}

/**
 * Format a cost in US dollars: `$0.03`, `under $0.01`; "" if it is unknown or 0.
 *
 * @param {number | null | undefined} dollars
 */
export function formatCost(dollars) {
  if (!dollars || !(dollars > 0)) return "";
  return dollars < 0.01 ? "under $0.01" : `$${dollars.toFixed(2)}`;
}

/**
 * Format numbers of tokens: `12.3K in, 900 out`; "" if none is known.
 *
 * @param {{input_tokens?: number | null, output_tokens?: number | null}} counts
 */
export function formatTokens({ input_tokens: input, output_tokens: output }) {
  const format = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  return [input && `${format.format(input)} in`, output && `${format.format(output)} out`]
    .filter(Boolean)
    .join(", ");
}

/**
 * Return what a job waits for, as a sentence with the rest of the wait; "" if it does not wait.
 *
 * @param {import("./job.js").Waiting | null | undefined} waiting
 * @param {ServerClock} clock
 * @param {TimeFormat} times
 */
export function waitingSentence(waiting, clock, times) {
  if (!waiting) return "";
  const until = Date.parse(waiting.until ?? "");
  if (Number.isNaN(until)) return waiting.detail;
  const rest =
    clock.isLive && until > clock.now() ? `, in ${formatDuration(until - clock.now())}` : "";
  return `${waiting.detail} It goes on at ${times.shortDateTime(until)}${rest}.`;
}

/**
 * Return a sentence about stalled sheets; "" if there are none.
 *
 * @param {number[] | null | undefined} stalled
 */
export function stalledSentence(stalled) {
  if (!stalled?.length) return "";
  const shown = stalled.slice(0, 8).join(", ");
  const more = stalled.length > 8 ? ` and ${stalled.length - 8} more` : "";
  return stalled.length === 1
    ? `Sheet ${shown} shows no sign of life: it may be stuck.`
    : `Sheets ${shown}${more} show no sign of life: they may be stuck.`;
}
