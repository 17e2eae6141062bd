/**
 * One tab at a hub, by messages: the same in a worker and in the page itself.
 * From the tab: `subscribe`, `unsubscribe`, `visible`, `wake`, `many`, `bye`. To it: events, states.
 */

/**
 * Lets a tab have what a hub has.
 *
 * @param {MessagePort} port of the tab.
 * @param {import("./hub.js").Hub} hub
 * @returns {() => void} forgets the tab.
 */
export function serve(port, hub) {
  const wanted = new Map();
  let visible = true;

  function leave(id) {
    const subscriber = wanted.get(id);
    wanted.delete(id);
    if (subscriber) hub.unsubscribe(subscriber);
  }

  const actions = {
    subscribe({ id, path, kind, alone }) {
      const subscriber = {
        get visible() {
          return visible;
        },
        events: (events) => port.postMessage({ id, events }),
        state: (state) => port.postMessage({ id, state }),
      };
      wanted.set(id, subscriber);
      hub.subscribe({ path, kind, alone }, subscriber);
    },
    unsubscribe: ({ id }) => leave(id),
    visible({ visible: seen }) {
      visible = seen;
      hub.reorder();
    },
    wake: () => hub.wake(),
    many: () => hub.allowMany(),
    bye: forget,
  };

  function forget() {
    for (const id of [...wanted.keys()]) leave(id);
  }

  port.onmessage = ({ data }) => actions[data.do]?.(data);
  port.postMessage({ ready: true });
  return forget;
}
