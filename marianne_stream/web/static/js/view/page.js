/** Page: its parts, and the view that the address names. */

import { plainText } from "../model/ansi.js";
import { jobUrl, LIST_URL, parseJobPath, parseLogsUrl } from "../model/page_urls.js";
import { Roster } from "../model/roster.js";
import { SeenFailures } from "../model/seen_failures.js";
import { ServerClock } from "../model/server_clock.js";
import { statusLabel } from "../model/status.js";
import { TimeFormat } from "../model/time_format.js";
import { fetchNotReadyReasons } from "../wire/api.js";
import { StreamClient } from "../wire/stream_client.js";
import { Announcer } from "./announcer.js";
import { ConnectionStatus } from "./connection_status.js";
import { findElement, setAttribute } from "./dom.js";
import { makeIcon } from "./icons.js";
import { JobView } from "./job_view.js";
import { JobsLogView } from "./jobs_log_view.js";
import { JobsView } from "./jobs_view.js";
import { load, save, serverKey } from "./local_storage.js";
import { Notifier } from "./notifier.js";
import { Shortcuts } from "./shortcuts.js";
import { redirectToSignIn } from "./sign_in_redirect.js";
import { Tab } from "./tab.js";
import { ThemeSwitch } from "./theme_switch.js";
import { VisitTracker } from "./visit_tracker.js";
import { ZoneSwitch } from "./zone_switch.js";

/** @typedef {import("../wire/event_parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("../wire/event_stream.js").StreamState} StreamState */

/**
 * @typedef {object} StreamOptions
 * @property {string} part name of a part of the combined stream.
 * @property {string} [cursor] of a log: the position to follow from.
 * @property {(events: ServerSentEvent[]) => void} onEvents gets events with server times.
 * @property {(state: StreamState) => void} [onState]
 */

const BLOCKED_REASON =
  "Other windows use all connections of this browser. Choose Go live here, or close one of them.";

const ROSTER_PART = "roster?details=true";

const SEEN_KEY = serverKey("marianne-stream seen failures");

/** An unknown job is a new one up to this age; an older one was not listed for a while. */
const MAX_NEW_JOB_AGE_MS = 60_000;

/** Page and what its views share. */
export class Page {
  #shownUrl = "";
  /** Address of the job list, with the filters that the reader left it with. */
  listUrl = LIST_URL;
  #isRosterSeen = false;
  #rosterPhase = "connecting";
  /** @type {JobsView | JobView | JobsLogView | null} */
  #view = null;
  seenFailures = new SeenFailures(load(SEEN_KEY, null));
  /** @type {string[]} reasons why the server is not ready, as sentences, while the page is not live. */
  notReadyReasons = [];

  constructor() {
    this.main = findElement("main");
    this.streams = new StreamClient((isBlocked) => this.#onBlockedChange(isBlocked));
    this.roster = new Roster();
    this.clock = new ServerClock();
    this.times = new TimeFormat(this.clock);
    this.visits = new VisitTracker(this.clock);
    this.connection = new ConnectionStatus(findElement("#connection"), this);
    this.announcer = new Announcer(findElement("#announcer"));
    this.tab = new Tab(findElement("link[rel=icon]"));
    this.notifier = new Notifier(
      (jobId) => this.go(jobUrl(jobId) ?? LIST_URL),
      (jobId) => this.roster.get(jobId),
    );
    this.theme = new ThemeSwitch(findElement("#theme"));
    this.zone = new ZoneSwitch(findElement("#zone"), this.times, () => this.#onTimeZoneChange());
    this.shortcuts = new Shortcuts(/** @type {HTMLDialogElement} */ (findElement("#shortcuts")), [
      { key: "z", label: "Local time or UTC", run: () => this.zone.next() },
      { key: "t", label: "Dark, light or system theme", run: () => this.theme.next() },
      { key: "u", label: "All jobs", run: () => this.#showJobs() },
    ]);
    this.#listen();
  }

  /**
   * Go to a URL of the page.
   *
   * @param {string} url
   */
  go(url) {
    if (url !== location.pathname + location.search + location.hash) {
      history.pushState(null, "", url);
    }
    this.show();
    scrollTo(0, 0);
  }

  /**
   * Show the view that the address names.
   *
   * @param {{isFirst?: boolean}} [options]
   */
  show({ isFirst = false } = {}) {
    if (this.#view instanceof JobsView) this.listUrl = this.#view.url;
    this.#view?.close();
    this.#shownUrl = location.pathname + location.search;
    const view = this.#makeView();
    this.#view = view;
    this.main.replaceChildren(view.element);
    this.shortcuts.setView(view.shortcuts);
    findElement("#skip-to-log").hidden = !("focusLog" in view);
    view.open();
    // The element that had the focus is gone: screen readers go on at the new view.
    if (!isFirst) this.main.focus({ preventScroll: true });
  }

  /** Show the job list as the reader left it, or all jobs if it is shown. */
  #showJobs() {
    this.go(this.#view instanceof JobsView ? LIST_URL : this.listUrl);
  }

  #makeView() {
    const jobId = parseJobPath(location.pathname);
    if (jobId !== null) return new JobView(this, jobId);
    const logs = parseLogsUrl(location.pathname, location.search);
    return logs === null ? new JobsView(this) : new JobsLogView(this, logs);
  }

  /**
   * Subscribe to a part of the combined stream, and show its state in the connection status.
   *
   * @param {StreamOptions} options
   * @returns {() => void} ends the subscription.
   */
  follow({ part, cursor, onEvents, onState = () => {} }) {
    const key = {};
    const unsubscribe = this.streams.subscribe({
      part,
      cursor,
      onEvents: (events) => onEvents(events.map((event) => this.#withServerTime(event))),
      onState: (state) => {
        if (state.status === 401) redirectToSignIn();
        if (state.offset) this.clock.addBounds(state.offset);
        // A part's own error, such as that of a job that does not exist, is none of the connection.
        const isOwnError = Boolean(state.code) && part !== ROSTER_PART;
        this.connection.setState(key, isOwnError ? null : state);
        onState(state);
      },
    });
    return () => {
      this.connection.setState(key, null);
      unsubscribe();
    };
  }

  /** Why the page is not live, as a sentence; "" if it is, or while that is not known. */
  get staleReason() {
    const { source } = this.roster;
    if (this.clock.isLive) return "";
    // Without a stream, or on an edge, the server's readiness tells the reason.
    if (!source || source.source === "redis" || source.source === "none") {
      return this.notReadyReasons.join(" ");
    }
    return source.detail ?? "The conductor is not running.";
  }

  /**
   * Mark failures as seen in this browser, or remove the marks.
   *
   * @param {import("../model/roster.js").RosterEntry[]} jobs
   * @param {boolean} isSeen
   */
  markSeen(jobs, isSeen) {
    for (const job of jobs) this.seenFailures.set(job, isSeen);
    save(SEEN_KEY, this.seenFailures);
    this.#updateTab();
  }

  #listen() {
    const help = findElement("#help");
    help.prepend(makeIcon("help"));
    help.addEventListener("click", () => this.shortcuts.showList());
    findElement("#skip-to-log").addEventListener("click", (event) => this.#focusLog(event));
    const top = findElement(".top");
    new ResizeObserver(() => {
      document.documentElement.style.setProperty("--top-height", `${top.offsetHeight}px`);
    }).observe(top);
    addEventListener("popstate", () => {
      if (location.pathname + location.search !== this.#shownUrl) this.show();
      else this.#view?.onFragmentChange();
    });
    document.addEventListener("click", (event) => this.#onClick(event));
    addEventListener("storage", ({ key }) => {
      if (key !== SEEN_KEY) return;
      this.seenFailures = new SeenFailures(load(SEEN_KEY, null));
      this.#updateTab();
      this.#view?.onRosterChange();
    });
    this.follow({
      part: ROSTER_PART,
      onEvents: (events) => this.#applyRosterEvents(events),
      onState: (state) => this.#onRosterState(state),
    });
  }

  /**
   * Move the focus to the log of the view, and leave the lines in the address as they are.
   *
   * @param {Event} event
   */
  #focusLog(event) {
    event.preventDefault();
    if (this.#view && "focusLog" in this.#view) this.#view.focusLog();
  }

  /** @param {boolean} isBlocked true while other windows use all connections of the browser. */
  #onBlockedChange(isBlocked) {
    this.connection.setBlocked(isBlocked);
    this.notReadyReasons = isBlocked ? [BLOCKED_REASON] : [];
    this.#view?.onRosterChange();
  }

  /**
   * @param {ServerSentEvent} event
   * @returns {ServerSentEvent} the event with its time of reception by the server's clock.
   */
  #withServerTime(event) {
    return { ...event, at: this.clock.fromLocal(event.at ?? Date.now()) };
  }

  /** @param {StreamState} state */
  #onRosterState({ phase, since }) {
    this.#rosterPhase = phase;
    // Each connection begins with a `source` event.
    if (phase !== "live") this.roster.source = null;
    this.#updateLiveness(since);
    if (phase === "waiting") this.#updateNotReadyReasons();
  }

  /**
   * Show whether jobs are live: the stream is, and state comes from a conductor or from checkpoints.
   *
   * @param {number} [since] local time at which the page stopped being live.
   */
  #updateLiveness(since) {
    const { source } = this.roster;
    const live = this.#rosterPhase === "live" && Boolean(source?.live || source?.source === "json");
    this.clock.setLive(live, since);
    if (live) this.notReadyReasons = [];
    setAttribute(document.body, "data-live", String(live));
    this.connection.update();
    this.#updateTab();
  }

  #updateTab() {
    if (!this.roster.isLoaded) return;
    const { running = 0 } = this.roster.countByTone();
    const failed = this.roster
      .list({ tone: "failed" })
      .filter((job) => !this.seenFailures.has(job)).length;
    const tone = failed ? "failed" : running ? "running" : "idle";
    this.tab.setBadge(failed, this.clock.isLive ? tone : "offline");
  }

  async #updateNotReadyReasons() {
    const reasons = await fetchNotReadyReasons();
    if (this.clock.isLive) return;
    this.notReadyReasons = reasons;
    this.#view?.onRosterChange();
  }

  #onTimeZoneChange() {
    this.connection.update();
    this.#view?.onTimeZoneChange();
  }

  /**
   * Follow links between views without loading the page again.
   *
   * @param {MouseEvent} event
   */
  #onClick(event) {
    const link = event.target instanceof Element ? event.target.closest("a[data-page]") : null;
    const url = link?.getAttribute("href");
    const isModified = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!url || event.button !== 0 || isModified) return;
    event.preventDefault();
    this.go(url);
  }

  /**
   * Return the state of a new job before it was first seen; undefined for an old job that the conductor
   * lists again.
   *
   * @param {import("../model/roster.js").RosterEntry} job
   */
  #beforeItsFirstState({ job_id: jobId, submitted_at: submittedAt }) {
    const age = this.clock.now() - Date.parse(submittedAt ?? "");
    return age < MAX_NEW_JOB_AGE_MS ? { job_id: jobId, status: "queued" } : undefined;
  }

  /** @param {ServerSentEvent[]} events */
  #applyRosterEvents(events) {
    const sourceBefore = this.roster.source;
    const changes = this.roster.applyEvents(events);
    if (this.roster.source !== sourceBefore) {
      this.#updateLiveness();
      if (!this.clock.isLive) this.#updateNotReadyReasons();
    }
    if (this.roster.isLoaded && !this.#isRosterSeen) {
      this.#isRosterSeen = true;
      // Jobs that ended while no page was open.
      for (const job of this.roster.all()) this.notifier.onChange(job);
    }
    for (const { job, previous } of changes) {
      this.notifier.onChange(job, previous ?? this.#beforeItsFirstState(job));
      if (previous && this.seenFailures.followChange(job, previous)) {
        save(SEEN_KEY, this.seenFailures);
      }
      if (previous && previous.status !== job.status) {
        this.announcer.announce(`${plainText(job.job_id)}: ${statusLabel(job.status)}.`);
      }
    }
    this.#updateTab();
    this.#view?.onRosterChange();
  }
}
