/**
 * Message port protocol between a tab and a stream hub, the hub's side.
 *
 * From the tab: `subscribe`, `unsubscribe`, `wake`, `close`, `lock`.
 * To the tab: `ready` once, then `events` and `state` of each subscription.
 */

/**
 * @typedef {{type: "subscribe", id: number} & import("./stream_hub.js").PartRequest} SubscribeMessage
 * @typedef {{type: "unsubscribe", id: number}} UnsubscribeMessage
 * @typedef {{type: "wake" | "close"}} SignalMessage
 * @typedef {{type: "lock", lock: string}} LockMessage name of the Web Lock that the tab holds.
 * @typedef {SubscribeMessage | UnsubscribeMessage | SignalMessage | LockMessage} TabMessage
 */

/**
 * @typedef {object} HubMessage
 * @property {boolean} [ready]
 * @property {number} [id] of the subscription.
 * @property {import("./event_parser.js").ServerSentEvent[]} [events]
 * @property {import("./event_stream.js").StreamState} [state]
 */

/**
 * Serve a tab.
 *
 * @param {MessagePort} port of the tab.
 * @param {import("./stream_hub.js").StreamHub} hub
 * @returns {() => void} close: ends all subscriptions of the tab.
 */
export function servePort(port, hub) {
  /** @type {Map<number, import("./stream_part.js").Subscriber>} */
  const subscribers = new Map();

  /** @param {HubMessage} message */
  const post = (message) => port.postMessage(message);

  /** @param {SubscribeMessage} message */
  function subscribe({ id, part, cursor }) {
    /** @type {import("./stream_part.js").Subscriber} */
    const subscriber = {
      onEvents: (events) => post({ id, events }),
      onState: (state) => post({ id, state }),
    };
    subscribers.set(id, subscriber);
    hub.subscribe({ part, cursor }, subscriber);
  }

  /** @param {number} id */
  function unsubscribe(id) {
    const subscriber = subscribers.get(id);
    subscribers.delete(id);
    if (subscriber) hub.unsubscribe(subscriber);
  }

  function close() {
    for (const id of [...subscribers.keys()]) unsubscribe(id);
  }

  /** @param {{data: TabMessage}} message */
  port.onmessage = ({ data }) => {
    if (data.type === "subscribe") subscribe(data);
    else if (data.type === "unsubscribe") unsubscribe(data.id);
    else if (data.type === "wake") hub.wake();
    else if (data.type === "close") close();
    // Released when the tab is gone, however it goes.
    else if (data.type === "lock") navigator.locks?.request(data.lock, close);
  };
  // The tab is gone, in browsers that tell. Web Locks exist in secure contexts only.
  port.addEventListener("close", close);
  post({ ready: true });
  return close;
}
