/** The page: builds its parts, and shows the view that the address asks for. */

import { plain } from "./model/ansi.js";
import { Roster } from "./model/roster.js";
import { ServerClock } from "./model/server_clock.js";
import { wordOf } from "./model/status.js";
import { Times } from "./model/times.js";
import { Announcer } from "./view/announcer.js";
import { Connection } from "./view/connection.js";
import { attribute } from "./view/dom.js";
import { JobView } from "./view/job_view.js";
import { JobsView } from "./view/jobs_view.js";
import { Keys } from "./view/keys.js";
import { Notifier } from "./view/notifier.js";
import { Tab } from "./view/tab.js";
import { Theme } from "./view/theme.js";
import { ZoneSwitch } from "./view/zone_switch.js";
import { glyph } from "./view/glyphs.js";
import { missing } from "./wire/api.js";
import { Link } from "./wire/link.js";

const ROSTER = "/api/roster/stream?details=true";

/** Where the lines of a link are kept while one signs in: an address loses them on the way. */
const AFTER_SIGN_IN = "marianne-stream after sign-in";

/** What all views use. */
class Page {
  #shown = "";
  #known = false;
  #rosterPhase = "connecting";
  /** What the server says it lacks, as sentences, while the page is not live. */
  missing = [];

  constructor() {
    this.main = document.querySelector("main");
    this.link = new Link();
    this.roster = new Roster();
    this.clock = new ServerClock();
    this.times = new Times(this.clock);
    this.connection = new Connection(document.querySelector("#connection"), this);
    this.announcer = new Announcer(document.querySelector("#announcer"));
    this.tab = new Tab();
    this.notifier = new Notifier((jobId) => this.go(`/jobs/${encodeURIComponent(jobId)}`));
    this.theme = new Theme(document.querySelector("#theme"));
    this.zone = new ZoneSwitch(document.querySelector("#zone"), this.times, () =>
      this.#timesChanged(),
    );
    this.keys = new Keys(document.querySelector("#keys"), [
      { key: "z", says: "local time, or UTC", act: () => this.zone.next() },
      { key: "t", says: "dark, light, or as the system", act: () => this.theme.next() },
      { key: "u", says: "all jobs", act: () => this.go("/") },
    ]);
    this.view = null;
    this.#listen();
  }

  /** Goes to an address of the page. */
  go(address) {
    if (address !== location.pathname + location.search + location.hash) {
      history.pushState(null, "", address);
    }
    this.show();
  }

  /** Shows what the address asks for. */
  show({ first = false } = {}) {
    this.view?.close();
    this.#shown = location.pathname + location.search;
    const jobId = jobIdOf(location.pathname);
    this.view = jobId === null ? new JobsView(this) : new JobView(this, jobId);
    this.main.replaceChildren(this.view.element);
    this.keys.use(this.view.keys);
    this.view.opened();
    // Where one goes on to read: what had the focus is gone.
    if (!first) this.main.focus({ preventScroll: true });
  }

  /** Follows a stream for as long as a view wants it, and shows how it is. */
  follow({ path, kind, alone, onEvents, onState = () => {} }) {
    const name = {};
    const end = this.link.subscribe({
      path,
      kind,
      alone,
      onEvents: (events) => onEvents(events.map((event) => this.#byServerClock(event))),
      onState: (state) => {
        if (state.status === 401) this.#signIn();
        if (state.offset) this.clock.take(state.offset);
        this.connection.set(name, state);
        onState(state);
      },
    });
    return () => {
      this.connection.set(name, null);
      end();
    };
  }

  #listen() {
    const help = document.querySelector("#help");
    help.prepend(glyph("help"));
    help.addEventListener("click", () => this.keys.showList());
    addEventListener("popstate", () => {
      if (location.pathname + location.search !== this.#shown) this.show();
      else this.view.hashChanged?.();
    });
    document.addEventListener("click", (event) => this.#followLink(event));
    this.follow({
      path: ROSTER,
      kind: "roster",
      onEvents: (events) => this.#takeRoster(events),
      onState: (state) => this.#rosterStateChanged(state),
    });
  }

  /** An event with the time of its arrival by the server's clock. */
  #byServerClock(event) {
    return { ...event, at: this.clock.at(event.at ?? Date.now()) };
  }

  #rosterStateChanged({ phase, since }) {
    this.#rosterPhase = phase;
    // Where state comes from is told anew on each connection.
    if (phase !== "live") this.roster.source = null;
    this.#showLiveness(since);
    if (phase === "waiting") this.#askWhatIsMissing();
  }

  /** Live are jobs whose state comes from where it should: from a conductor, or from checkpoints. */
  #showLiveness(since) {
    const { source } = this.roster;
    const live = this.#rosterPhase === "live" && Boolean(source?.live || source?.source === "json");
    this.clock.setLive(live, since);
    if (live) this.missing = [];
    attribute(document.body, "data-live", String(live));
    this.connection.show();
    this.#showTab();
  }

  /** The tab tells of failures, and that the page is not live. */
  #showTab() {
    if (!this.roster.known) return;
    const { failed = 0, running = 0 } = this.roster.counts();
    const look = failed ? "failed" : running ? "running" : "calm";
    this.tab.alarm(failed, this.clock.isLive ? look : "away");
  }

  async #askWhatIsMissing() {
    const sentences = await missing();
    if (this.clock.isLive) return;
    this.missing = sentences;
    this.view?.rosterChanged();
  }

  #timesChanged() {
    this.connection.show();
    this.view?.timesChanged();
  }

  #followLink(event) {
    const link = event.target instanceof Element ? event.target.closest("a[data-page]") : null;
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || event.button !== 0 || !plain) return;
    event.preventDefault();
    this.go(link.getAttribute("href"));
  }

  #takeRoster(events) {
    const before = this.roster.source;
    const turned = this.roster.take(events);
    if (this.roster.source !== before) {
      this.#showLiveness();
      if (!this.clock.isLive) this.#askWhatIsMissing();
    }
    if (this.roster.known && !this.#known) {
      this.#known = true;
      // What ended while no page was open.
      for (const job of this.roster.all()) this.notifier.turned(job);
    }
    for (const { job, before } of turned) {
      this.notifier.turned(job);
      if (before) this.announcer.say(`${plain(job.job_id)} is ${wordOf(job.status)}.`);
    }
    this.#showTab();
    this.view?.rosterChanged();
  }

  #signIn() {
    sessionStorage.setItem(AFTER_SIGN_IN, location.hash);
    const next = encodeURIComponent(location.pathname + location.search);
    location.assign(`/login?next=${next}`);
  }
}

/** The job of an address; null for the list. What is no encoding is taken as it stands. */
function jobIdOf(path) {
  const match = /^\/jobs\/([^/]+)$/.exec(path);
  if (!match) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

/** The lines of a link that led to the sign-in form. */
function comeBack() {
  const hash = sessionStorage.getItem(AFTER_SIGN_IN);
  sessionStorage.removeItem(AFTER_SIGN_IN);
  if (hash && !location.hash) history.replaceState(null, "", hash);
}

comeBack();
new Page().show({ first: true });
