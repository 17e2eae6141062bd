/** A status as one sees it: colour, shape and word. */

import { lookOf, wordOf } from "../model/status.js";
import { arrange, attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";

/** A mark without a status yet; `showStatus` gives it one. */
export function statusMark() {
  return h("span.status", {}, glyph("unknown"), h("span.word"));
}

/** Shows a status on a mark. */
export function showStatus(mark, status) {
  const look = lookOf(status);
  if (mark.dataset.look !== look) {
    attribute(mark, "data-look", look);
    arrange(mark, [glyph(look), mark.querySelector(".word")]);
  }
  setText(mark.querySelector(".word"), wordOf(status));
}
