/** The time zone of all times: the browser's own, or UTC. */

import { attribute, setText } from "./dom.js";
import { keep, recall } from "./store.js";

const KEY = "marianne-stream zone";

/** The switch, and what it switches. */
export class ZoneSwitch {
  #button;
  #times;
  #onChange;

  /**
   * @param {HTMLButtonElement} button
   * @param {import("../model/times.js").Times} times
   * @param {() => void} onChange has all times shown anew.
   */
  constructor(button, times, onChange) {
    this.#button = button;
    this.#times = times;
    this.#onChange = onChange;
    times.zone = recall(KEY, "local") === "utc" ? "utc" : "local";
    button.addEventListener("click", () => this.next());
    this.#show();
  }

  /** Goes on to the other zone. */
  next() {
    this.#times.zone = this.#times.zone === "utc" ? "local" : "utc";
    keep(KEY, this.#times.zone);
    this.#show();
    this.#onChange();
  }

  #show() {
    const { zone, zoneName } = this.#times;
    const other = zone === "utc" ? "local time" : "UTC";
    setText(this.#button, zone === "utc" ? "UTC" : "Local time");
    attribute(this.#button, "title", `Times are in ${zoneName}. Change to ${other} (z)`);
  }
}
