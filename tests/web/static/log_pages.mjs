/** Log events and pages for tests. */

/** @typedef {import("../../../marianne_stream/web/static/js/model/log_window.js").LogWindow} LogWindow */
/** @typedef {import("../../../marianne_stream/web/static/js/model/log_rows.js").LogPage} LogPage */

/** @param {number} number of the line. */
export function logEvent(number) {
  const value = {
    line: `line ${number}`,
    line_number: number,
    timestamp: "2026-11-24T00:00:00Z",
    initial: false,
  };
  return { event: "log", id: `c${number}`, data: JSON.stringify(value) };
}

/** @param {string} line */
export function partialEvent(line) {
  return {
    event: "log_partial",
    id: "c1",
    data: JSON.stringify({ job_id: "a", line, line_number: 2 }),
  };
}

/**
 * @param {number[]} numbers
 * @param {string | null} before
 * @returns {LogPage}
 */
export function makePage(numbers, before = "b") {
  const lines = numbers.map((number) => ({
    line: `line ${number}`,
    line_number: number,
    cursor: `c${number}`,
    truncated: false,
  }));
  return { lines, before };
}

/** @param {LogWindow} window */
export function lineNumbers(window) {
  return window.rows.filter(({ kind }) => kind === "line").map(({ number }) => number);
}

/** @param {LogWindow} window */
export function rowKinds(window) {
  return window.rows.map(({ kind }) => kind);
}

/**
 * @param {number} from
 * @param {number} to is not included.
 */
export function range(from, to) {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
