/**
 * The page's way to the streams: a SharedWorker for all tabs, or, where there is none, a hub in the
 * page. It must not know what the streams hold.
 */

import { Hub } from "./hub.js";
import { serve } from "./ports.js";

/** A tab's link, for as long as the tab lives. */
export class Link {
  #port;
  #wanted = new Map();
  #next = 1;

  constructor() {
    this.#port = sharedPort() ?? ownPort();
    this.#port.onmessage = ({ data }) => this.#take(data);
    if (manyByProtocol()) this.#port.postMessage({ do: "many" });
    this.#followTab();
  }

  /**
   * Wants a stream.
   *
   * @param {{path: string, kind: "roster" | "status" | "events" | "log",
   *   onEvents: (events: object[]) => void, onState: (state: object) => void}} wanted
   * @returns {() => void} ends it.
   */
  subscribe({ path, kind, onEvents, onState }) {
    const id = this.#next++;
    this.#wanted.set(id, { path, kind, onEvents, onState });
    this.#port.postMessage({ do: "subscribe", id, path, kind });
    return () => {
      this.#wanted.delete(id);
      this.#port.postMessage({ do: "unsubscribe", id });
    };
  }

  #take({ id, events, state }) {
    const wanted = this.#wanted.get(id);
    if (events) wanted?.onEvents(events);
    if (state) wanted?.onState(state);
  }

  #followTab() {
    document.addEventListener("visibilitychange", () => {
      const visible = document.visibilityState === "visible";
      this.#port.postMessage({ do: "visible", visible });
      if (visible) this.#port.postMessage({ do: "wake" });
    });
    addEventListener("online", () => this.#port.postMessage({ do: "wake" }));
    addEventListener("pagehide", () => this.#port.postMessage({ do: "bye" }));
    addEventListener("pageshow", ({ persisted }) => {
      // It was put away, and its streams with it: what it shows may be old.
      if (persisted) location.reload();
    });
  }
}

function sharedPort() {
  if (typeof SharedWorker === "undefined") return null;
  try {
    const worker = new SharedWorker(new URL("worker.js", import.meta.url), {
      type: "module",
      name: "marianne-stream",
    });
    const lock = `marianne-stream tab ${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    // Held until the tab is gone, however it goes.
    const held = new Promise(() => {});
    const hello = () => worker.port.postMessage({ do: "hello", lock });
    navigator.locks?.request(lock, () => {
      hello();
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
