/** Status badge: colour, icon and label of a status. */

import { statusLabel, statusTone } from "../model/status.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

export class StatusBadge {
  #label = h("span.status-label");
  element = h("span.status", {}, makeIcon("unknown"), this.#label);

  /**
   * Show a status; the status of a job that no longer exists as one that was.
   *
   * @param {string} status
   * @param {{isPast?: boolean}} [options]
   */
  show(status, { isPast = false } = {}) {
    const tone = isPast ? "unknown" : statusTone(status);
    if (this.element.dataset.tone !== tone) {
      setAttribute(this.element, "data-tone", tone);
      setChildren(this.element, [makeIcon(tone), this.#label]);
    }
    const label = statusLabel(status);
    setText(this.#label, isPast ? `was ${label}` : label);
    setAttribute(this.element, "title", label === status ? null : status);
  }
}
