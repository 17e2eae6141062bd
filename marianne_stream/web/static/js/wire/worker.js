/** The hub of all tabs, as a SharedWorker. A tab that is gone lets go of its lock, and is forgotten. */

import { Hub } from "./hub.js";
import { serve } from "./ports.js";

const hub = new Hub();
hub.run();

self.onconnect = ({ ports: [port] }) => {
  const forget = serve(port, hub);
  const act = port.onmessage;
  port.onmessage = (message) => {
    if (message.data.do === "hello") {
      navigator.locks?.request(message.data.lock, forget);
      return;
    }
    act(message);
  };
};
