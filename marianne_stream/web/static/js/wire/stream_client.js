/**
 * Client of the stream hub, one in each tab: connects to the hub in a SharedWorker, which all tabs
 * share, or to a hub in the page if the browser has no such workers.
 */

import { ConnectionSlot } from "./connection_slot.js";
import { servePort } from "./port_server.js";
import { StreamHub } from "./stream_hub.js";

/** @typedef {import("./port_server.js").TabMessage} TabMessage */

/**
 * @typedef {object} Subscription
 * @property {string} part name of a part of the combined stream.
 * @property {string} [cursor] of a log: the position of the subscriber.
 * @property {(events: import("./event_parser.js").ServerSentEvent[]) => void} onEvents
 * @property {(state: import("./event_stream.js").StreamState) => void} onState
 */

/** A worker that is not ready by then has failed to load. */
const WORKER_READY_TIMEOUT_MS = 4_000;

/** A window that has no connection slot by then says so. */
const SLOT_TIMEOUT_MS = 1_000;

export class StreamClient {
  /** @type {MessagePort} */
  #port;
  /** @type {Map<number, Subscription>} */
  #subscriptions = new Map();
  #nextId = 1;
  #isReady = false;
  /** @type {ConnectionSlot | null} */
  #slot = null;
  #onBlockedChange;

  /**
   * @param {(isBlocked: boolean) => void} onBlockedChange is called when other windows use all
   *   connections of the browser, and when this window has one.
   */
  constructor(onBlockedChange) {
    this.#onBlockedChange = onBlockedChange;
    const workerPort = openWorkerPort(() => this.#useLocalHub());
    this.#port = workerPort ?? this.#openLocalPort();
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

  /** Take over the connection of another window. */
  takeOver() {
    this.#slot?.takeOver();
  }

  /** @param {TabMessage} message */
  #post(message) {
    this.#port.postMessage(message);
  }

  /**
   * @param {number} id
   * @param {Subscription} subscription
   */
  #postSubscription(id, { part, cursor = "" }) {
    this.#post({ type: "subscribe", id, part, cursor });
  }

  #attach() {
    this.#port.onmessage = ({ data }) => this.#receive(data);
  }

  /** Fall back to a hub in this page, unless the worker is ready. */
  #useLocalHub() {
    if (this.#isReady) return;
    this.#isReady = true;
    // A worker that comes up late must not serve the same subscriptions.
    this.#port.onmessage = null;
    this.#post({ type: "close" });
    this.#port = this.#openLocalPort();
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

  /** Open a port to a new hub in this page, which connects once it has a connection slot. */
  #openLocalPort() {
    const { port1, port2 } = new MessageChannel();
    const needsSlot = !isMultiplexed();
    const hub = new StreamHub({ isPaused: needsSlot });
    hub.run();
    servePort(port1, hub);
    if (needsSlot && navigator.locks) this.#requestSlot(hub);
    else if (needsSlot) connectWhileVisible(hub);
    return port2;
  }

  /** @param {StreamHub} hub */
  #requestSlot(hub) {
    const timer = setTimeout(() => this.#onBlockedChange(true), SLOT_TIMEOUT_MS);
    this.#slot = new ConnectionSlot((isHeld) => {
      clearTimeout(timer);
      this.#onBlockedChange(!isHeld);
      if (isHeld) hub.resume();
      else hub.pause();
    });
    this.#slot.request();
  }

  #followTab() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#post({ type: "wake" });
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
  try {
    // The address has the release in it.
    const url = new URL("worker.js", import.meta.url);
    const worker = new SharedWorker(url, { type: "module", name: "marianne-stream" });
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

/**
 * Let a hub connect while its window is visible. Without a secure context there are no Web Locks for
 * connection slots, and no notifications that a hidden window could show.
 *
 * @param {StreamHub} hub
 */
function connectWhileVisible(hub) {
  const update = () => {
    if (document.visibilityState === "visible") hub.resume();
    else hub.pause();
  };
  document.addEventListener("visibilitychange", update);
  update();
}

/** Return true if the page was loaded by HTTP/2 or later, where streams share one connection. */
function isMultiplexed() {
  const [page] = performance.getEntriesByType("navigation");
  const { nextHopProtocol = "" } = /** @type {PerformanceNavigationTiming} */ (page ?? {});
  return /^h[23]/.test(nextHopProtocol);
}
