// Reads a stream with the npm package eventsource until it is closed for good.
// Writes each event as a line of JSON; ends when the server says that nothing new will come.
const { EventSource } = require("eventsource");

const NAMES = ["source", "job_status", "job_sheets", "job_finished"];
const source = new EventSource(process.argv[2]);
/** @param {object} value */
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

for (const name of NAMES) {
  source.addEventListener(name, (event) =>
    say({ event: name, id: event.lastEventId, data: JSON.parse(event.data) }),
  );
}
source.addEventListener("error", (event) => {
  const closed = source.readyState === EventSource.CLOSED;
  say({ event: "error", code: event.code ?? null, closed });
});
