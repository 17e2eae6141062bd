/** How many sheets are done, as a bar and in numbers. */

import { attribute, h, setText } from "./dom.js";

/** A bar without progress yet. */
export function progressBar() {
  const fill = h("span.fill");
  const track = h(
    "span.track",
    { role: "progressbar", "aria-valuemin": 0, "aria-label": "Sheets" },
    fill,
  );
  return h("span.progress", {}, track, h("span.count"));
}

/** Shows how far a job is; a count that is not known is shown as that. */
export function showProgress(bar, { completed_sheets: done, total_sheets: all }, look) {
  const [track, count] = bar.children;
  const share = all ? Math.min(1, (done ?? 0) / all) : 0;
  track.firstChild.style.transform = `scaleX(${share})`;
  attribute(track, "data-look", look);
  attribute(track, "aria-valuemax", all || null);
  attribute(track, "aria-valuenow", all && done !== null ? done : null);
  attribute(track, "aria-valuetext", all ? `${done ?? "?"} of ${all} sheets` : "not known");
  setText(count, all ? `${done ?? "?"} / ${all}` : "–");
}
