/** Status badge: colour, icon and label of a status. */

import { statusLabel, statusTone } from "../model/status.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

export class StatusBadge {
  #label = h("span.status-label");
  element = h("span.status", {}, makeIcon("unknown"), this.#label);

  /**
   * Show a status.
   *
   * @param {string} status
   */
  show(status) {
    const tone = statusTone(status);
    if (this.element.dataset.tone !== tone) {
      setAttribute(this.element, "data-tone", tone);
      setChildren(this.element, [makeIcon(tone), this.#label]);
    }
    setText(this.#label, statusLabel(status));
  }
}
