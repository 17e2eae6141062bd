/** Connection status in the header: whether the page is live, and where its state comes from. */

import { plainText } from "../model/ansi.js";
import { h, setAttribute, setText } from "./dom.js";

/** @typedef {import("../wire/event_stream.js").StreamState} StreamState */

/**
 * Words for a live page. A small window shows the first part only; screen readers read both.
 *
 * @type {Record<string, [string, string]>}
 */
const LIVE_SOURCES = {
  conductor: ["Live", " from the conductor"],
  json: ["From files", " on disk"],
  redis: ["Live", " from another server"],
};

/** Phases from the worst to the best: the status shows the worst of all streams. */
const PHASES = ["failed", "waiting", "connecting", "paused", "live", "ended"];

/** A stream that takes longer to open is shown as not connected. */
const OPENING_MS = 1_000;

export class ConnectionStatus {
  #element;
  #page;
  #text = h("span");
  #source = h("span.source");
  #takeOver = h(
    "button.quiet",
    { type: "button", onclick: () => this.#page.streams.takeOver() },
    "Go live here",
  );
  /** True while other windows use all connections of the browser. */
  isBlocked = false;
  /** @type {Map<object, StreamState>} */
  #states = new Map();

  /**
   * @param {HTMLElement} element
   * @param {import("./page.js").Page} page
   */
  constructor(element, page) {
    this.#element = element;
    this.#page = page;
    element.append(h("span.dot"), h("span.sentence", {}, this.#text, this.#source));
    setInterval(() => this.update(), 1000);
    this.update();
  }

  /**
   * Set the state of a stream.
   *
   * @param {object} key identifies the stream.
   * @param {StreamState | null} state null once it is closed.
   */
  setState(key, state) {
    if (state) this.#states.set(key, state);
    else this.#states.delete(key);
    this.update();
  }

  /** @param {boolean} isBlocked true while other windows use all connections of the browser. */
  setBlocked(isBlocked) {
    this.isBlocked = isBlocked;
    if (isBlocked) this.#element.append(this.#takeOver);
    else this.#takeOver.remove();
    this.update();
  }

  /** Show the current status. */
  update() {
    if (this.isBlocked) {
      setAttribute(this.#element, "data-phase", "paused");
      this.#show("Not live: other windows use all connections of this browser.");
      return;
    }
    const [worst] = [...this.#states.values()]
      .filter((state) => !this.#isOpening(state))
      .sort((a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase));
    const phase = worst?.phase ?? "connecting";
    const isConnected = phase === "live" || phase === "ended";
    const isStale = isConnected && !this.#page.clock.isLive;
    // A page that was live waits, also while it tries to connect: its header does not jump.
    const isReconnecting = phase === "connecting" && this.#wasLive();
    const shown = isReconnecting ? "waiting" : phase;
    setAttribute(this.#element, "data-phase", isStale ? "stale" : shown);
    if (isConnected || !worst) this.#showSource();
    else this.#show(this.#phaseText(worst));
  }

  /**
   * @param {string} text
   * @param {string} [source] rest of the sentence, which a small window leaves out.
   */
  #show(text, source = "") {
    setText(this.#text, text);
    setText(this.#source, source);
  }

  /**
   * Return true for a stream that a view of the live page has just asked for.
   *
   * @param {StreamState} state
   */
  #isOpening({ phase, since }) {
    return this.#page.clock.isLive && phase === "connecting" && Date.now() - since < OPENING_MS;
  }

  #showSource() {
    const { roster, clock } = this.#page;
    if (!roster.source) this.#show("Connecting …");
    else if (clock.isLive) this.#show(...(LIVE_SOURCES[roster.source.source] ?? ["Live"]));
    else {
      const isSaved = roster.source.source === "registry";
      const state = isSaved ? "last state that the conductor saved" : "last known state";
      this.#show(`${this.#notLiveText()}: ${state}`);
    }
  }

  /** @param {StreamState} state */
  #phaseText({ phase, retryAt = NaN, detail, reason }) {
    if (phase === "paused") return "Not live: too many windows are open. Close one to go on here.";
    if (phase === "failed") return plainText(detail || "The server rejected the request");
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    if (phase === "waiting" && seconds > 0) {
      if (reason) return `${plainText(reason)} Trying again in ${seconds} s.`;
      return `${this.#notLiveText()}, reconnecting in ${seconds} s`;
    }
    const { isLive } = this.#page.clock;
    return !isLive && this.#wasLive() ? `${this.#notLiveText()}, reconnecting` : "Connecting …";
  }

  #notLiveText() {
    const { clock, times } = this.#page;
    if (clock.isLive || !this.#wasLive()) return "Not live";
    return `Not live since ${times.shortDateTime(clock.knownUntil())}`;
  }

  #wasLive() {
    return !Number.isNaN(this.#page.clock.knownUntil());
  }
}
