/** SharedWorker with the stream hub of all tabs. */

import { servePort } from "./port_server.js";
import { StreamHub } from "./stream_hub.js";

const hub = new StreamHub();
hub.run();

self.addEventListener("connect", (event) => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  servePort(port, hub);
});
