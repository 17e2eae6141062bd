/** A job's log: followed, scrolled back, searched, linked to. */

import { plain } from "../model/ansi.js";
import { LogChoice } from "../model/log_choice.js";
import { hashOf, rangeOf } from "../model/log_link.js";
import { LogPager } from "../model/log_pager.js";
import { LogWindow } from "../model/log_window.js";
import { getJson, jobPath, withQuery } from "../wire/api.js";
import { attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { LogRows } from "./log_rows.js";
import { LogSearchBar } from "./log_search_bar.js";
import { keep, recall } from "./store.js";

/** How many lines come first. */
const TAIL_LINES = 1000;

/** A range of a link is looked for in so many pages. */
const RANGE_PAGES = 10;

const LEVELS = {
  "": "all levels",
  debug: "debug and up",
  info: "info and up",
  warning: "warnings and errors",
  error: "errors",
};

/** What one chose stays, from job to job. */
const CHOICES = "marianne-stream log";

/** The log's panel. */
export class LogView {
  #page;
  #jobId;
  #window = new LogWindow();
  #choice = new LogChoice(this.#window);
  #pager;
  #rows;
  #search;
  #level;
  #toggles = {};
  #pill = h("button.pill", { type: "button", hidden: true, onclick: () => this.#toLive() });
  #note = h("p.log-note", { hidden: true, role: "status" });
  #status = h("span.log-status");
  #source = h("span.log-source", { hidden: true }, "The conductor's log: lines of this job");
  #choices = { wrap: true, times: true, ...recall(CHOICES, {}) };
  #end = null;
  /** How many lines came while nobody followed. */
  #came = 0;
  /** Whether the stream began where this page stands: then no tail comes first. */
  #goesOn = false;
  #phase = "connecting";

  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#rows = new LogRows(this.#window, this.#choice, {
      times: page.times,
      onNearStart: () => this.#pager.older(),
      onNearEnd: () => this.#pager.newer(),
      onFollow: () => this.#followChanged(),
      onChoose: (serial, extend) => this.#choose(serial, { extend }),
    });
    this.#pager = new LogPager(this.#window, (...asked) => this.#ask(...asked), {
      older: (change) => this.#rows.prepended(change),
      newer: (change) => this.#rows.appended(change),
      jumped: () => this.#jumped(),
      joined: (cursor) => this.#joined(cursor),
      say: (sentence) => this.#say(sentence),
    });
    this.#search = new LogSearchBar({
      page: (parameters, signal) => this.#ask(parameters, signal),
      onPattern: (pattern) => {
        this.#rows.pattern = pattern;
        this.#rows.redraw();
      },
      onMatch: ({ cursor }) => this.#showAt(cursor),
    });
    this.#build();
    this.keys = this.#keys();
  }

  #keys() {
    const rows = this.#rows;
    return [
      { key: "j", says: "the next line", act: () => rows.step(1) },
      { key: "k", says: "the line before", act: () => rows.step(-1) },
      { key: "Enter", says: "open the fields of a JSON line", act: () => rows.toggleCurrent() },
      { key: "x", says: "choose the line", act: () => this.#choose(rows.current) },
      { key: "X", says: "choose all lines up to it", act: () => this.#extend() },
      { key: " ", says: "a page down; with Shift, up", act: (event) => rows.page(event) },
      { key: "/", says: "search the whole log", act: () => this.#search.input.focus() },
      { key: "n", says: "the next match", act: () => this.#search.step(-1) },
      { key: "N", says: "the match before", act: () => this.#search.step(1) },
      { key: "f", says: "follow what comes", act: () => this.#toggleFollow() },
      { key: "g", says: "the beginning of the log", act: () => this.#toStart() },
      { key: "G", says: "the end of the log", act: () => this.#toLive() },
      { key: "w", says: "wrap long lines", act: () => this.#toggle("wrap") },
      { key: "s", says: "show times", act: () => this.#toggle("times") },
      { key: "c", says: "copy the chosen lines", act: () => this.#copy() },
      { key: "Escape", says: "choose no line", act: () => this.#choose(-1) },
    ];
  }

  opened() {
    if (!this.hashChanged()) this.#open({ tail: TAIL_LINES });
  }

  /** The address asks for other lines; false where it asks for none. */
  hashChanged() {
    const range = rangeOf(location.hash);
    if (!range) return false;
    this.#rows.follow(false);
    this.#open({ tail: 0 });
    this.#showRange(range);
    return true;
  }

  /** All times are in another zone. */
  timesChanged() {
    this.#rows.redraw();
  }

  /** The job runs again, or has come: there is something to follow. */
  again() {
    const { newest, atEnd } = this.#window;
    if (newest && atEnd) this.#open({ tail: 0, from: newest });
    else if (newest) this.#open({ tail: 0 });
    else this.#fresh();
  }

  close() {
    this.#pager.stop();
    this.#end?.();
    this.#search.close();
    this.#rows.close();
  }

  #build() {
    const button = (name, shape, text, act) => {
      const element = h(
        "button.quiet.toggle",
        { type: "button", title: text, onclick: act },
        glyph(shape),
        h("span", {}, name),
      );
      return element;
    };
    this.#toggles = {
      follow: button("Follow", "down", "Follow what comes (f)", () => this.#toggleFollow()),
      wrap: button("Wrap", "wrap", "Wrap long lines (w)", () => this.#toggle("wrap")),
      times: button("Times", "clock", "Show times (s)", () => this.#toggle("times")),
    };
    this.#level = h(
      "select",
      { "aria-label": "Level", onchange: () => this.#levelChanged() },
      Object.entries(LEVELS).map(([value, text]) => h("option", { value }, text)),
    );
    const copy = h(
      "button.quiet",
      {
        type: "button",
        title: "Copy the chosen lines, or those that are seen (c)",
        onclick: () => this.#copy(),
      },
      glyph("copy"),
      h("span", {}, "Copy"),
    );
    const download = h(
      "a.quiet",
      {
        href: jobPath(this.#jobId, "logs", "raw"),
        download: `${this.#jobId}.log`,
        title: "Download the whole file",
      },
      glyph("down"),
      h("span", {}, "Download"),
    );
    this.element = h(
      "section.panel.log",
      { "aria-labelledby": "log-heading" },
      h(
        "div.bar",
        {},
        h("h2", { id: "log-heading" }, "Log"),
        this.#source,
        this.#search.element,
        this.#level,
      ),
      h("div.log-body", {}, this.#rows.element, this.#note, this.#pill),
      h("div.bar.foot", {}, Object.values(this.#toggles), copy, download, this.#status),
    );
    this.#showChoices();
  }

  /** Follows the log: from its newest lines, or from a cursor on. */
  #open({ tail, from = "" }) {
    this.#end?.();
    this.#goesOn = tail === 0;
    const parameters = {
      tail_lines: tail,
      wait: true,
      level: this.#level.value,
      last_event_id: from,
    };
    this.#end = this.#page.follow({
      path: withQuery(jobPath(this.#jobId, "logs"), parameters),
      kind: "log",
      // One that begins where this page stands is no beginning for others.
      alone: this.#goesOn,
      onEvents: (events) => this.#take(events),
      onState: (state) => this.#stateChanged(state),
    });
  }

  /** Begins anew, as for a new viewer. */
  #fresh() {
    this.#pager.stop();
    this.#window.clear();
    this.#came = 0;
    this.#choose(-1);
    this.#rows.current = -1;
    this.#rows.reset();
    this.#rows.follow(true);
    this.#open({ tail: TAIL_LINES });
  }

  #levelChanged() {
    this.#fresh();
    this.#search.again();
  }

  #take(events) {
    const { following } = this.#rows;
    const change = this.#window.take(events, { reading: !following });
    if (change.cleared) this.#pager.stop();
    if (change.cleared && this.#goesOn) {
      // What the page stood at is gone, and no newest lines come by themselves.
      this.#fresh();
      return;
    }
    if (!following) this.#came += change.passed;
    if (change.cleared) this.#rows.reset();
    else if (change.added || change.dropped) this.#rows.appended(change);
    this.#show();
  }

  #stateChanged({ phase, detail, status }) {
    this.#phase = phase;
    if (phase === "failed" && status !== 401) this.#say(detail);
    else if (phase === "live") this.#say("");
    this.#show();
  }

  #say(sentence) {
    this.#note.hidden = !sentence;
    setText(this.#note, plain(sentence ?? ""));
    // A window that holds too little to be scrolled goes on by itself.
    if (sentence) this.#rows.draw();
  }

  /** The window holds other rows. */
  #jumped() {
    this.#rows.follow(false);
    this.#rows.reset();
    this.#show();
  }

  /** The window has come to the end again: the stream goes on from there. */
  #joined(cursor) {
    this.#came = 0;
    this.#open({ tail: 0, from: cursor });
    this.#show();
  }

  async #toStart() {
    if (this.#window.before === null || (await this.#pager.oldest())) this.#rows.toStart();
  }

  /** The live end. */
  #toLive() {
    if (this.#window.atEnd) this.#rows.follow(true);
    else this.#fresh();
    this.#came = 0;
    this.#show();
  }

  #toggleFollow() {
    if (this.#rows.following) this.#rows.follow(false);
    else this.#toLive();
  }

  #followChanged() {
    if (this.#rows.following) this.#came = 0;
    this.#show();
  }

  /** Shows a line in its context; false where it is not to be had. */
  async #showAt(cursor) {
    if (this.#window.find(cursor) < 0 && !(await this.#pager.around(cursor))) return false;
    const serial = this.#window.find(cursor);
    if (serial >= 0) this.#rows.show(serial);
    this.#show();
    return serial >= 0;
  }

  /** Shows the lines of a link. */
  async #showRange({ from, to }) {
    if (!(await this.#showAt(from))) {
      if (!this.#window.rows.length) this.#fresh();
      return;
    }
    // A long range goes beyond one page.
    for (let page = 0; this.#window.find(to) < 0 && page < RANGE_PAGES; page += 1) {
      if (!(await this.#pager.newer())) break;
    }
    const last = this.#window.find(to);
    this.#choice.choose(this.#window.find(from));
    if (last >= 0) this.#choice.choose(last, { extend: true });
    else this.#say("The end of this range is not in the log any more.");
    this.#rows.draw();
    this.#show();
  }

  #ask(parameters, signal) {
    const asked = { level: this.#level.value, ...parameters };
    return getJson(withQuery(jobPath(this.#jobId, "logs", "lines"), asked), { signal });
  }

  /** Chooses a line, or all from the chosen one to it; the address leads there from now on. */
  #choose(serial, { extend = false } = {}) {
    if (!this.#window.holds(serial)) this.#choice.clear();
    else {
      this.#choice.choose(serial, { extend });
      this.#rows.current = serial;
      this.#rows.follow(false);
    }
    this.#rows.draw();
    const { lines } = this.#choice;
    const hash = lines.length ? hashOf({ from: lines[0].cursor, to: lines.at(-1).cursor }) : "";
    history.replaceState(null, "", location.pathname + location.search + hash);
    this.#show();
  }

  #extend() {
    if (this.#rows.current >= 0) this.#choose(this.#rows.current, { extend: true });
  }

  async #copy() {
    const chosen = this.#choice.lines;
    const lines = chosen.length ? chosen : this.#rows.seenLines;
    const count = `${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
    try {
      // Into a terminal, perhaps: without sequences that it would obey.
      await navigator.clipboard.writeText(lines.map(({ text }) => `${plain(text)}\n`).join(""));
      this.#page.announcer.say(`${count} copied.`);
      setText(this.#status, `${count} copied`);
    } catch {
      this.#say("The browser does not let this page write to the clipboard.");
    }
  }

  #toggle(name) {
    this.#choices[name] = !this.#choices[name];
    keep(CHOICES, this.#choices);
    this.#showChoices();
  }

  #showChoices() {
    this.#rows.wrap = this.#choices.wrap;
    attribute(this.#rows.element, "data-wrap", this.#choices.wrap ? "on" : "off");
    attribute(this.#rows.element, "data-times", this.#choices.times ? "on" : "off");
    this.#rows.redraw();
    this.#show();
  }

  #show() {
    const { following } = this.#rows;
    const { atEnd, partial } = this.#window;
    this.#rows.showPartial(atEnd ? partial : null);
    const pressed = { follow: following, ...this.#choices };
    for (const [name, toggle] of Object.entries(this.#toggles)) {
      toggle.dataset.toggle = name;
      attribute(toggle, "aria-pressed", String(Boolean(pressed[name])));
    }
    this.#source.hidden = !this.#window.ofConductor;
    const came = this.#came;
    this.#pill.hidden = following || (this.#window.atEnd && came === 0);
    const lines = came === 1 ? "1 new line" : `${came.toLocaleString("en")} new lines`;
    setText(this.#pill, came ? `↓ ${lines}` : "↓ to the end");
    setText(this.#status, this.#statusText());
  }

  #statusText() {
    if (!this.#window.rows.length && !this.#window.partial)
      return this.#phase === "live" || this.#phase === "ended" ? "No lines yet" : "";
    if (this.#window.isMissing) return "No log";
    const count = this.#choice.lines.length;
    if (count) {
      return `${count} ${count === 1 ? "line" : "lines"} chosen`;
    }
    if (this.#phase === "ended") return "The end of the log";
    return this.#rows.following ? "Following" : "Paused";
  }
}
