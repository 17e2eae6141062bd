/** Icons, drawn in the colour of the text. Each tone of a status has an icon of its own. */

import { h } from "./dom.js";

/** @type {Record<string, string>} */
const SHAPES = {
  running: "M5 3.2v9.6l8-4.8z",
  completed: "M3 8.6l3.4 3.4L13 4.8",
  failed: "M4 4l8 8M12 4l-8 8",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  waiting: "M8 4.2V8l2.6 1.8M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 1 1 8 1.8",
  cancelled: "M3.8 12.2l8.4-8.4M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 1 1 8 1.8",
  unknown: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1V10M8 12.4v.4",
  back: "M9.5 3L4.5 8l5 5",
  bell: "M8 2a3.6 3.6 0 0 0-3.6 3.6c0 4-1.6 5-1.6 5h10.4s-1.6-1-1.6-5A3.6 3.6 0 0 0 8 2M6.8 13.2h2.4",
  moon: "M13 9.6A5.6 5.6 0 1 1 6.4 3 4.6 4.6 0 0 0 13 9.6",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 1 1 0-5.6M8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M3.3 12.7l1-1M11.7 4.3l1-1",
  auto: "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2M8 2v12M8 5l4 0M8 8h5.8M8 11h4.4",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1V9.6M8 11.6v.4M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 1 1 8 1.8",
  down: "M8 3v9M4.2 8.4L8 12.2l3.8-3.8",
  up: "M8 13V4M4.2 7.6L8 3.8l3.8 3.8",
  copy: "M5.5 5.5h7v7.5h-7zM3.5 10.5v-8h7",
  close: "M4 4l8 8M12 4l-8 8",
  wrap: "M2.5 4h11M2.5 8h8.4a2 2 0 0 1 0 4H8M9.4 10.4L7.8 12l1.6 1.6M2.5 12h3",
  clock: "M8 4.2V8l2.6 1.8M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 1 1 8 1.8",
  fold: "M3 4h10M6 8h7M6 12h7M3 7l1.4 1L3 9",
  logs: "M2.5 4h7M2.5 8h7M2.5 12h4M12.5 9.5v5M10 12h5",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  calendar: "M3 4h10v9H3zM3 7h10M6 2.4v2.8M10 2.4v2.8",
  swap: "M3 5.5h10M10.5 3L13 5.5 10.5 8M13 10.5H3M5.5 8L3 10.5 5.5 13",
  search: "M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 1 1 0-8.4M10.2 10.2L13.6 13.6",
};

/**
 * Make an icon. It is hidden from screen readers: the text beside it says the same.
 *
 * @param {string} name of a shape, or of a tone.
 */
export function makeIcon(name) {
  const shape = SHAPES[name] ? name : "unknown";
  const icon = h(
    "svg.icon",
    { viewBox: "0 0 16 16", "aria-hidden": "true", "data-shape": shape },
    h("path", { d: SHAPES[shape] }),
  );
  icon.classList.toggle("filled", shape === "running");
  return icon;
}
