/**
 * The page's way to the streams: a SharedWorker for all tabs, or, where there is none, a hub in the
 * page. It must not know what the streams hold.
 */

import { Hub } from "./hub.js";
import { serve } from "./ports.js";

/** A worker that has not said a word by then is none: its script did not load. */
const READY_MS = 4_000;

/** A tab's link, for as long as the tab lives. */
export class Link {
  #port;
  #wanted = new Map();
  #next = 1;
  #ready = false;

  constructor() {
    const port = sharedPort(() => this.#standAlone());
    this.#use(port ?? ownPort());
    if (port) setTimeout(() => this.#standAlone(), READY_MS);
    this.#followTab();
  }

  /**
   * Wants a stream.
   *
   * @param {{path: string, kind: "roster" | "status" | "events" | "log", alone?: boolean,
   *   onEvents: (events: object[]) => void, onState: (state: object) => void}} wanted as `Hub` has it.
   * @returns {() => void} ends it.
   */
  subscribe(wanted) {
    const id = this.#next++;
    this.#wanted.set(id, wanted);
    this.#subscribe(id, wanted);
    return () => {
      this.#wanted.delete(id);
      this.#port.postMessage({ do: "unsubscribe", id });
    };
  }

  #subscribe(id, { path, kind, alone = false }) {
    this.#port.postMessage({ do: "subscribe", id, path, kind, alone });
  }

  #use(port) {
    this.#port = port;
    port.onmessage = ({ data }) => this.#take(data);
    if (manyByProtocol()) port.postMessage({ do: "many" });
    this.#sayVisible();
  }

  /** Where the worker is not there, the page reads its streams by itself. */
  #standAlone() {
    if (this.#ready) return;
    this.#ready = true;
    this.#use(ownPort());
    for (const [id, wanted] of this.#wanted) this.#subscribe(id, wanted);
  }

  #take({ ready, id, events, state }) {
    this.#ready ||= Boolean(ready);
    const wanted = this.#wanted.get(id);
    if (events) wanted?.onEvents(events);
    if (state) wanted?.onState(state);
  }

  #sayVisible() {
    const visible = document.visibilityState === "visible";
    this.#port.postMessage({ do: "visible", visible });
    return visible;
  }

  #followTab() {
    document.addEventListener("visibilitychange", () => {
      if (this.#sayVisible()) this.#port.postMessage({ do: "wake" });
    });
    addEventListener("online", () => this.#port.postMessage({ do: "wake" }));
    addEventListener("pagehide", () => this.#port.postMessage({ do: "bye" }));
    addEventListener("pageshow", ({ persisted }) => {
      // It was put away, and its streams with it: what it shows may be old.
      if (persisted) location.reload();
    });
  }
}

/**
 * The port of the worker of this release, which all tabs of it share; null where there are no such
 * workers.
 */
function sharedPort(onError) {
  if (typeof SharedWorker === "undefined") return null;
  const { release = "" } = document.documentElement.dataset;
  try {
    const url = new URL(`worker.js?${release}`, import.meta.url);
    const worker = new SharedWorker(url, { type: "module", name: `marianne-stream ${release}` });
    worker.onerror = onError;
    const lock = `marianne-stream tab ${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    // Held until the tab is gone, however it goes.
    const held = new Promise(() => {});
    navigator.locks?.request(lock, () => {
      worker.port.postMessage({ do: "hello", lock });
      return held;
    });
    return worker.port;
  } catch {
    return null;
  }
}

function ownPort() {
  const { port1, port2 } = new MessageChannel();
  const hub = new Hub();
  hub.run();
  serve(port1, hub);
  return port2;
}

/** Whether the page came by a protocol in which streams share one connection. */
function manyByProtocol() {
  const [page] = performance.getEntriesByType("navigation");
  return /^h[23]/.test(page?.nextHopProtocol ?? "");
}
