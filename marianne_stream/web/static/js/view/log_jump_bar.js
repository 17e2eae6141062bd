/** Bar of a log with a field for a time to go to. */

import { jumpStart, jumpTime } from "../model/jump_time.js";
import { h, setText } from "./dom.js";

/**
 * @typedef {object} JumpBarOptions
 * @property {import("../model/time_format.js").TimeFormat} times
 * @property {() => import("../model/log_rows.js").LogRow[]} getRows rows whose times are offered first.
 * @property {(time: string) => void} onJump gets the server's parameter `time`.
 * @property {() => void} onClose
 */

export class LogJumpBar {
  #options;
  /** @type {"local" | "utc" | "written"} */
  #zone = "local";
  #zoneName = h("span.muted");
  #input = h("input", {
    type: "datetime-local",
    step: 1,
    required: true,
    // Without it, a year may have six digits.
    max: "9999-12-31T23:59:59",
    id: "log-jump-time",
  });

  /** @param {JumpBarOptions} options */
  constructor(options) {
    this.#options = options;
    this.element = h(
      "form.bar.log-jump",
      {
        hidden: true,
        onsubmit: (/** @type {Event} */ event) => this.#submit(event),
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onKeyDown(event),
      },
      h("label", { for: "log-jump-time" }, "Go to"),
      this.#input,
      this.#zoneName,
      h("button.quiet", {}, "Go"),
      h("button.quiet", { type: "button", onclick: () => this.close() }, "Cancel"),
    );
  }

  /** Show the bar, with the time of the first visible line. */
  open() {
    const { times, getRows } = this.#options;
    const { zone, value } = jumpStart(getRows(), times);
    this.#zone = zone;
    this.#input.value = value;
    setText(this.#zoneName, zone === "written" ? "as the lines show it" : times.zoneName);
    this.element.hidden = false;
    this.#input.focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    if (hadFocus) this.#options.onClose();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    this.#options.onJump(jumpTime(this.#input.value, this.#zone));
    this.close();
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.close();
  }
}
