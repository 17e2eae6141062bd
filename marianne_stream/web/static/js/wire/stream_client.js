/**
 * Client of the stream hub, one in each tab: connects to the hub in a SharedWorker, which all tabs
 * share, or to a hub in the page if the browser has no such workers.
 */

import { servePort } from "./port_server.js";
import { StreamHub } from "./stream_hub.js";

/** @typedef {import("./port_server.js").TabMessage} TabMessage */

/**
 * @typedef {object} Subscription
 * @property {string} path
 * @property {import("./replay_buffer.js").StreamKind} kind
 * @property {boolean} [exclusive] see `StreamRequest`.
 * @property {(events: import("./event_parser.js").ServerSentEvent[]) => void} onEvents
 * @property {(state: import("./event_stream.js").StreamState) => void} onState
 */

/** A worker that is not ready by then has failed to load. */
const WORKER_READY_TIMEOUT_MS = 4_000;

export class StreamClient {
  /** @type {MessagePort} */
  #port;
  /** @type {Map<number, Subscription>} */
  #subscriptions = new Map();
  #nextId = 1;
  #isReady = false;

  constructor() {
    const workerPort = openWorkerPort(() => this.#useLocalHub());
    this.#port = workerPort ?? openLocalPort();
    this.#attach();
    if (workerPort) setTimeout(() => this.#useLocalHub(), WORKER_READY_TIMEOUT_MS);
    this.#followTab();
  }

  /**
   * Subscribe to a stream.
   *
   * @param {Subscription} subscription
   * @returns {() => void} ends the subscription.
   */
  subscribe(subscription) {
    const id = this.#nextId++;
    this.#subscriptions.set(id, subscription);
    this.#postSubscription(id, subscription);
    return () => {
      this.#subscriptions.delete(id);
      this.#post({ type: "unsubscribe", id });
    };
  }

  /** @param {TabMessage} message */
  #post(message) {
    this.#port.postMessage(message);
  }

  /**
   * @param {number} id
   * @param {Subscription} subscription
   */
  #postSubscription(id, { path, kind, exclusive = false }) {
    this.#post({ type: "subscribe", id, path, kind, exclusive });
  }

  #postVisibility() {
    const isVisible = document.visibilityState === "visible";
    this.#post({ type: "visibility", isVisible });
    return isVisible;
  }

  #attach() {
    this.#port.onmessage = ({ data }) => this.#receive(data);
    if (isMultiplexed()) this.#post({ type: "multiplexing" });
    this.#postVisibility();
  }

  /** Fall back to a hub in this page, unless the worker is ready. */
  #useLocalHub() {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#port = openLocalPort();
    this.#attach();
    for (const [id, subscription] of this.#subscriptions) this.#postSubscription(id, subscription);
  }

  /** @param {import("./port_server.js").HubMessage} message */
  #receive({ ready, id, events, state }) {
    this.#isReady ||= Boolean(ready);
    const subscription = id === undefined ? undefined : this.#subscriptions.get(id);
    if (events) subscription?.onEvents(events);
    if (state) subscription?.onState(state);
  }

  #followTab() {
    document.addEventListener("visibilitychange", () => {
      if (this.#postVisibility()) this.#post({ type: "wake" });
    });
    addEventListener("online", () => this.#post({ type: "wake" }));
    addEventListener("pagehide", () => this.#post({ type: "close" }));
    addEventListener("pageshow", ({ persisted }) => {
      // Restored from the back/forward cache: its streams were closed, and its state may be old.
      if (persisted) location.reload();
    });
  }
}

/**
 * Open a port to the shared worker of this release.
 *
 * @param {() => void} onError
 * @returns {MessagePort | null} null if the browser has no shared workers.
 */
function openWorkerPort(onError) {
  if (typeof SharedWorker === "undefined") return null;
  const { release = "" } = document.documentElement.dataset;
  try {
    const url = new URL(`worker.js?${release}`, import.meta.url);
    const worker = new SharedWorker(url, { type: "module", name: `marianne-stream ${release}` });
    worker.onerror = onError;
    const lock = `marianne-stream tab ${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    // The lock is held until the tab is gone, however it goes.
    const untilGone = new Promise(() => {});
    navigator.locks?.request(lock, () => {
      worker.port.postMessage({ type: "lock", lock });
      return untilGone;
    });
    return worker.port;
  } catch {
    return null;
  }
}

/** Open a port to a new hub in this page. */
function openLocalPort() {
  const { port1, port2 } = new MessageChannel();
  const hub = new StreamHub();
  hub.run();
  servePort(port1, hub);
  return port2;
}

/** Return true if the page was loaded by HTTP/2 or later, where streams share one connection. */
function isMultiplexed() {
  const [page] = performance.getEntriesByType("navigation");
  const { nextHopProtocol = "" } = /** @type {PerformanceNavigationTiming} */ (page ?? {});
  return /^h[23]/.test(nextHopProtocol);
}
