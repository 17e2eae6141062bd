/** Facts of a file: its size, when it changed, and the sheets that ran then. */

import { formatBytes } from "../model/time_format.js";
import { h } from "./dom.js";

/** Sheets that are named. */
const MAX_SHEETS = 3;

/**
 * @param {import("../model/job_files.js").FileEntry} entry
 * @param {import("../model/time_format.js").TimeFormat} times
 * @param {(number: number) => void} onSheet the reader wants to see a sheet.
 */
export function makeFileFacts({ size_bytes: size, modified_at, sheets }, times, onSheet) {
  const at = Date.parse(modified_at);
  const time = times.isToday(at) ? times.timeOfDay(at) : times.shortDateTime(at);
  const shown = sheets.slice(-MAX_SHEETS);
  return [
    h(
      "span.file-sheets",
      {},
      shown.map((number) =>
        h(
          "button.link",
          { type: "button", title: "Ran when the file changed", onclick: () => onSheet(number) },
          `sheet ${number}`,
        ),
      ),
      sheets.length > shown.length ? `and ${sheets.length - shown.length} more` : null,
    ),
    h("span.file-size", {}, size === null ? "" : formatBytes(size)),
    h("time", { title: times.fullDateTime(at) || null }, time),
  ];
}
