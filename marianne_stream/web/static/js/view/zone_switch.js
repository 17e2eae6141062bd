/** Time zone switch: the browser's time zone, or UTC. */

import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";
import { load, save } from "./local_storage.js";

const KEY = "marianne-stream zone";

export class ZoneSwitch {
  #button;
  #label = h("span");
  #times;
  #onChange;

  /**
   * @param {HTMLElement} button
   * @param {import("../model/time_format.js").TimeFormat} times
   * @param {() => void} onChange
   */
  constructor(button, times, onChange) {
    this.#button = button;
    this.#times = times;
    this.#onChange = onChange;
    times.zone = load(KEY, /** @type {string} */ ("local")) === "utc" ? "utc" : "local";
    button.append(makeIcon("swap"), this.#label);
    button.addEventListener("click", () => this.next());
    this.#update();
  }

  /** Change to the other zone. */
  next() {
    this.#times.zone = this.#times.zone === "utc" ? "local" : "utc";
    save(KEY, this.#times.zone);
    this.#update();
    this.#onChange();
  }

  #update() {
    const { zone, zoneName } = this.#times;
    const other = zone === "utc" ? "local time" : "UTC";
    setText(this.#label, zone === "utc" ? "UTC" : "Local time");
    setAttribute(this.#button, "title", `Times are in ${zoneName}. Switch to ${other} (z)`);
  }
}
