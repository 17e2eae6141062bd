/** How the page is connected, and where the state that it shows comes from. */

import { plain } from "../model/ansi.js";
import { ago, moment } from "../model/times.js";
import { attribute, h, setText } from "./dom.js";

const SOURCES = {
  conductor: "from the conductor",
  registry: "from the registry",
  json: "from checkpoints",
  redis: "from the relay",
  none: "last known",
};

/** From the worst to the best: the worst of all streams is what is shown. */
const ORDER = ["failed", "waiting", "connecting", "paused", "live", "ended"];

/** The mark in the header. */
export class Connection {
  #element;
  #states = new Map();
  #source = null;
  #liveAt = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    element.append(h("span.dot"), h("span.phase"), " ", h("span.source"));
    setInterval(() => this.#show(), 1000);
    this.#show();
  }

  /** A stream has come, with its state, or gone, with null. */
  set(name, state) {
    if (state) this.#states.set(name, state);
    else this.#states.delete(name);
    this.#show();
  }

  /** Where state comes from: a `source` event's data, and since when. */
  from(source) {
    this.#source = source;
    if (source?.live) this.#liveAt = null;
    else this.#liveAt ??= source?.since ?? null;
    this.#show();
  }

  #show() {
    const states = [...this.#states.values()];
    states.sort((a, b) => ORDER.indexOf(a.phase) - ORDER.indexOf(b.phase));
    const worst = states[0] ?? { phase: "connecting", since: Date.now() };
    const [, phase, source] = this.#element.children;
    const stale = worst.phase === "live" && this.#source && !this.#source.live;
    attribute(this.#element, "data-phase", stale ? "stale" : worst.phase);
    setText(phase, phaseText(worst));
    setText(source, this.#sourceText());
  }

  #sourceText() {
    if (!this.#source) return "";
    const { source, live, since } = this.#source;
    const text = SOURCES[source] ?? `from ${source}`;
    return live ? text : `${text}, not live since ${moment(this.#liveAt ?? since)}`;
  }
}

function phaseText({ phase, since, retryAt, detail }) {
  if (phase === "live" || phase === "ended") return "Live";
  if (phase === "paused") return "Paused: other tabs need the connections";
  if (phase === "failed") return plain(detail || "The server refused");
  const lost = Date.now() - since > 2_000 ? `, lost ${ago(since)}` : "";
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  if (phase === "waiting" && seconds > 0) return `Reconnecting in ${seconds} s${lost}`;
  return lost ? `Reconnecting${lost}` : "Connecting";
}
