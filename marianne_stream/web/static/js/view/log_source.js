/** Sources of a log view: the log of a job, or a file of its workspace. */

import { fileFragment, parseFileFragment } from "../model/job_files.js";
import { logsUrl } from "../model/page_urls.js";
import { jobPart, jobPath, withQuery } from "../wire/api.js";
import { EventStream } from "../wire/event_stream.js";
import { h } from "./dom.js";
import { makeIcon } from "./icons.js";
import { redirectToSignIn } from "./sign_in_redirect.js";

/** @typedef {import("./page.js").Page} Page */

/**
 * @typedef {object} LogRequest
 * @property {Record<string, import("../wire/api.js").QueryValue>} parameters of the stream.
 * @property {string} cursor "" for the newest lines.
 * @property {(events: import("../wire/event_parser.js").ServerSentEvent[]) => void} onEvents
 * @property {(state: import("../wire/event_stream.js").StreamState) => void} onState
 */

/**
 * @typedef {object} LogLines
 * @property {string} linesPath address of the pages of lines.
 * @property {(request: LogRequest) => () => void} follow returns a function that ends the stream.
 */

/**
 * @typedef {LogLines & {
 *   id: string,
 *   name: "log" | "file",
 *   links: Node[],
 *   readLines: () => string,
 *   writeLines: (lines: string) => void,
 * }} LogSource `readLines` returns the fragment of the address that names lines, `writeLines` sets it; ""
 *   for none. `links` are shown below the lines.
 */

/** Interval in which a stream is checked for a lost connection. */
const CHECK_MS = 15_000;

const LOST = "New lines are not shown now: the server is busy or away. Trying again …";

/**
 * Return the lines of a job's log.
 *
 * @param {Page} page
 * @param {string} jobId
 * @returns {LogLines}
 */
export function jobLogLines(page, jobId) {
  return {
    linesPath: jobPath(jobId, "logs", "lines"),
    follow: ({ parameters, ...request }) =>
      page.follow({ part: jobPart("log", jobId, parameters), ...request }),
  };
}

/**
 * Return a job's log as a source.
 *
 * @param {Page} page
 * @param {string} jobId
 * @returns {LogSource}
 */
export function makeJobLog(page, jobId) {
  const others = h(
    "a.quiet",
    {
      href: logsUrl({ jobIds: [jobId] }),
      "data-page": true,
      title: "Show the logs of other jobs as well",
      "aria-label": "Add a job",
    },
    makeIcon("logs"),
    h("span", {}, "Add a job"),
  );
  const download = { href: jobPath(jobId, "logs", "raw"), download: `${jobId}.log` };
  return {
    ...jobLogLines(page, jobId),
    id: "log",
    name: "log",
    links: [makeDownloadLink({ ...download, title: "Download the log file" }), others],
    readLines: () => location.hash,
    writeLines: (lines) => {
      // The address of a file stays while the log is opened behind it.
      if (lines || !parseFileFragment(location.hash)) replaceFragment(lines);
    },
  };
}

/**
 * Return a file of a job's workspace as a source.
 *
 * @param {Page} page
 * @param {string} jobId
 * @param {string} urlPath
 * @returns {LogSource}
 */
export function makeFileLog(page, jobId, urlPath) {
  const path = jobPath(jobId, "file-stream", urlPath);
  const address = () => {
    const found = parseFileFragment(location.hash);
    return found?.urlPath === urlPath ? found : null;
  };
  return {
    linesPath: jobPath(jobId, "file-lines", urlPath),
    follow: (request) => followFile(page, path, request),
    id: "file-log",
    name: "file",
    links: [],
    readLines: () => address()?.lines ?? "",
    writeLines: (lines) => {
      if (address()) replaceFragment(fileFragment(urlPath, lines));
    },
  };
}

/** @param {Record<string, unknown>} attributes */
export function makeDownloadLink(attributes) {
  return h(
    "a.quiet",
    { "aria-label": "Download", ...attributes },
    makeIcon("down"),
    h("span", {}, "Download"),
  );
}

/**
 * Let the address have another fragment.
 *
 * @param {string} fragment "" for none.
 */
export function replaceFragment(fragment) {
  history.replaceState(null, "", location.pathname + location.search + fragment);
}

/**
 * Let the address have another fragment; the button "Back" leads to the present one.
 *
 * @param {string} fragment "" for none.
 */
export function pushFragment(fragment) {
  history.pushState(null, "", location.pathname + location.search + fragment);
}

/**
 * Follow a file by a connection of its own: it is no part of the combined stream.
 *
 * @param {Page} page
 * @param {string} path
 * @param {LogRequest} request
 */
function followFile(page, path, { parameters, cursor, onEvents, onState }) {
  let last = cursor;
  const stream = new EventStream(() => withQuery(path, { ...parameters, last_event_id: last }), {
    onEvents: (events) => {
      last = events.findLast(({ id }) => id)?.id ?? last;
      onEvents(
        events.map((event) => ({ ...event, at: page.clock.fromLocal(event.at ?? Date.now()) })),
      );
      if (!events.some(({ event }) => event === "log_complete")) return;
      end();
      onState({ phase: "ended", since: Date.now() });
    },
    onState: (state) => {
      if (state.status === 401) redirectToSignIn();
      const lost = state.phase === "waiting" ? LOST : undefined;
      onState({ ...state, detail: state.detail ?? state.reason ?? lost });
    },
  });
  const timer = setInterval(() => stream.check(), CHECK_MS);
  const end = () => {
    clearInterval(timer);
    stream.disconnect();
  };
  stream.open();
  return end;
}
