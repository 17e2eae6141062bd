/** How the page is connected, and where the state that it shows comes from. */

import { plain } from "../model/ansi.js";
import { attribute, h, setText } from "./dom.js";

const LIVE = {
  conductor: "Live from the conductor",
  json: "From checkpoints on disk",
  redis: "Live from the relay",
};

const NOT_LIVE = {
  registry: "last known state from the registry",
  redis: "last known state from the relay",
};

/** From the worst to the best: the worst of all streams is what is shown. */
const ORDER = ["failed", "waiting", "connecting", "paused", "live", "ended"];

/** One sentence in the header. */
export class Connection {
  #element;
  #page;
  #states = new Map();

  /**
   * @param {HTMLElement} element
   * @param {object} page has the roster, the clock and the times.
   */
  constructor(element, page) {
    this.#element = element;
    this.#page = page;
    element.append(h("span.dot"), h("span.sentence"));
    setInterval(() => this.show(), 1000);
    this.show();
  }

  /** A stream has come, with its state, or gone, with null. */
  set(name, state) {
    if (state) this.#states.set(name, state);
    else this.#states.delete(name);
    this.show();
  }

  /** Shows how things are now. */
  show() {
    const states = [...this.#states.values()];
    states.sort((a, b) => ORDER.indexOf(a.phase) - ORDER.indexOf(b.phase));
    const worst = states[0] ?? { phase: "connecting" };
    const connected = worst.phase === "live" || worst.phase === "ended";
    const stale = connected && !this.#page.clock.isLive;
    attribute(this.#element, "data-phase", stale ? "stale" : worst.phase);
    setText(this.#element.lastChild, connected ? this.#sourceText() : this.#phaseText(worst));
  }

  #sourceText() {
    const { source } = this.#page.roster;
    if (!source) return "Connecting …";
    if (this.#page.clock.isLive) return LIVE[source.source] ?? `Live from ${source.source}`;
    return `${this.#notLive()}, ${NOT_LIVE[source.source] ?? "last known state"}`;
  }

  #phaseText({ phase, retryAt, detail }) {
    if (phase === "paused") return "Paused: other tabs need the connections";
    if (phase === "failed") return plain(detail || "The server refused");
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    if (phase === "waiting" && seconds > 0)
      return `${this.#notLive()}, reconnecting in ${seconds} s`;
    return this.#hasBeenLive() ? `${this.#notLive()}, reconnecting` : "Connecting …";
  }

  /** Since when is said where the page saw it happen. */
  #notLive() {
    const { clock, times } = this.#page;
    if (clock.isLive || !this.#hasBeenLive()) return "Not live";
    return `Not live since ${times.moment(clock.knownUntil())}`;
  }

  #hasBeenLive() {
    return !Number.isNaN(this.#page.clock.knownUntil());
  }
}
