/** Notices above the job list: why it is not live, and what makes jobs wait. */

import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/** @typedef {{tone: import("../model/status.js").Tone, text: string, icon?: string}} ListNotice */

export class ListNotices {
  #page;
  element = h("div.list-notices", { role: "status", "aria-label": "Notices" });

  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.#page = page;
  }

  /** Show the current notices. */
  update() {
    const { clock, times, roster } = this.#page;
    const notices = clock.isLive ? roster.conductors.notices(clock, times) : this.#staleNotices();
    this.element.hidden = notices.length === 0;
    while (this.element.childElementCount > notices.length) this.element.lastElementChild?.remove();
    notices.forEach((notice, index) => this.#show(index, notice));
  }

  /** @returns {ListNotice[]} */
  #staleNotices() {
    const { clock, times, roster, connection, staleReason: reason } = this.#page;
    if (!roster.isLoaded || !reason) return [];
    const at = times.shortDateTime(clock.knownUntil());
    const known = at ? `The list is as of ${at}` : "The list is the last known state";
    const text = connection.isBlocked
      ? `${reason} ${known}.`
      : `${reason} ${known}; it updates by itself.`;
    return [{ tone: "paused", text, icon: "clock" }];
  }

  /**
   * @param {number} index
   * @param {ListNotice} notice
   */
  #show(index, { tone, text, icon = tone }) {
    const known = this.element.children[index];
    const isSame =
      known?.getAttribute("data-tone") === tone &&
      known.querySelector(".icon")?.getAttribute("data-shape") === icon;
    const notice = isSame ? known : h("p.notice", {}, makeIcon(icon), h("span"));
    setAttribute(notice, "data-tone", tone);
    setText(/** @type {Element} */ (notice.lastElementChild), text);
    if (isSame) return;
    if (known) known.replaceWith(notice);
    else this.element.append(notice);
  }
}
