/** A job's log: followed, scrolled back, searched, linked to. */

import { LogWindow } from "../model/log_window.js";
import { hashOf, rangeOf } from "../model/log_link.js";
import { getJson, jobPath, withQuery } from "../wire/api.js";
import { attribute, h, setText } from "./dom.js";
import { glyph } from "./glyphs.js";
import { LogRows } from "./log_rows.js";
import { LogSearchBar } from "./log_search_bar.js";

/** How many lines come first, and how many a page of older ones has. */
const TAIL_LINES = 1000;
const PAGE_LINES = 1000;

/** How many lines a context has. */
const CONTEXT_LINES = 600;

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
  #rows;
  #search;
  #level;
  #toggles = {};
  #pill = h("button.pill", { type: "button", hidden: true, onclick: () => this.#toLive() });
  #note = h("p.log-note", { hidden: true });
  #status = h("span.log-status");
  #choices = { wrap: true, times: true, ...JSON.parse(localStorage.getItem(CHOICES) ?? "{}") };
  #end = null;
  #asking = false;
  #generation = 0;
  #came = 0;
  #chosen = null;
  #range = rangeOf(location.hash);
  #phase = "connecting";

  constructor(page, jobId) {
    this.#page = page;
    this.#jobId = jobId;
    this.#rows = new LogRows(this.#window, {
      onNearStart: () => this.#older(),
      onNearEnd: () => this.#newer(),
      onFollow: () => this.#followChanged(),
      onChoose: (serial, extend) => this.#choose(serial, extend),
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
    this.keys = [
      { key: "j", says: "a line down", act: () => this.#rows.scrollLines(1) },
      { key: "k", says: "a line up", act: () => this.#rows.scrollLines(-1) },
      { key: " ", says: "a page down", act: () => this.#rows.scrollLines(20) },
      { key: "/", says: "search the whole log", act: () => this.#search.input.focus() },
      { key: "n", says: "the next match", act: () => this.#search.step(-1) },
      { key: "N", says: "the match before", act: () => this.#search.step(1) },
      { key: "f", says: "follow what comes", act: () => this.#toggleFollow() },
      { key: "g", says: "the beginning of the log", act: () => this.#toStart() },
      { key: "G", says: "the end of the log", act: () => this.#toLive() },
      { key: "w", says: "wrap long lines", act: () => this.#toggle("wrap") },
      { key: "s", says: "show times", act: () => this.#toggle("times") },
      { key: "c", says: "copy the chosen lines", act: () => this.#copy() },
      { key: "Escape", says: "choose no line", act: () => this.#choose(null) },
    ];
  }

  opened() {
    if (this.#range) {
      this.#rows.follow(false);
      this.#open({ tail: 0 });
      this.#showRange();
    } else this.#open({ tail: TAIL_LINES });
  }

  /** The job runs again: there is something to follow. */
  again() {
    const cursor = this.#window.newest;
    if (!cursor || !this.#window.atEnd) this.#fresh();
    else this.#open({ tail: 0, from: cursor });
  }

  close() {
    this.#generation += 1;
    this.#end?.();
    this.#search.close();
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
      { "aria-label": "Level", onchange: () => this.#fresh() },
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
      h("div.bar", {}, h("h2", { id: "log-heading" }, "Log"), this.#search.element, this.#level),
      h("div.log-body", {}, this.#rows.element, this.#note, this.#pill),
      h("div.bar.foot", {}, Object.values(this.#toggles), copy, download, this.#status),
    );
    this.#showChoices();
  }

  /** Follows the log: from its newest lines, or from a cursor on. */
  #open({ tail, from = "" }) {
    this.#end?.();
    const parameters = {
      tail_lines: tail,
      wait: true,
      level: this.#level.value,
      last_event_id: from,
    };
    const path = withQuery(jobPath(this.#jobId, "logs"), parameters);
    this.#end = this.#page.follow({
      path,
      kind: "log",
      onEvents: (events) => this.#take(events),
      onState: (state) => this.#stateChanged(state),
    });
  }

  /** Begins anew, as for a new viewer. */
  #fresh() {
    this.#generation += 1;
    this.#window.clear();
    this.#came = 0;
    this.#chosen = null;
    this.#rows.chosen = null;
    this.#rows.current = -1;
    this.#rows.reset();
    this.#rows.follow(true);
    this.#open({ tail: TAIL_LINES });
  }

  #take(events) {
    const change = this.#window.take(events);
    const lines = events.filter(({ event }) => event === "log").length;
    if (!this.#rows.following) this.#came += lines;
    if (change.cleared) this.#rows.reset();
    else if (change.added) this.#rows.appended(change);
    this.#show();
  }

  #stateChanged({ phase, detail, status }) {
    this.#phase = phase;
    const said = phase === "failed" && status !== 401 ? detail : "";
    this.#say(said);
    this.#show();
  }

  #say(sentence) {
    this.#note.hidden = !sentence;
    setText(this.#note, sentence ?? "");
  }

  /** Older lines, when one scrolls to them. */
  #older() {
    if (this.#window.atStart || !this.#window.oldest) return;
    this.#fetch({ before: this.#window.oldest }, (page) => {
      this.#rows.prepended(this.#window.prepend(page));
    });
  }

  /** Newer lines, where the window does not reach the end; there, the stream goes on. */
  #newer() {
    if (this.#window.atEnd || !this.#window.newest) return;
    this.#fetch({ after: this.#window.newest }, (page) => {
      this.#rows.appended(this.#window.extend(page));
      if (page.stopped_by !== "end") return;
      this.#window.atEnd = true;
      this.#came = 0;
      this.#open({ tail: 0, from: this.#window.newest });
    });
  }

  #toStart() {
    if (this.#window.atStart) this.#rows.toStart();
    else {
      this.#fetch({ edge: "oldest" }, (page) => {
        this.#window.replace({ ...page, before: null });
        this.#rows.reset();
        this.#rows.toStart();
      });
    }
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

  /** Shows a line in its context. */
  async #showAt(cursor) {
    const serial = this.#window.find(cursor);
    if (serial >= 0) {
      this.#rows.show(serial);
      return true;
    }
    return this.#fetch({ around: cursor, limit: CONTEXT_LINES }, (page) => {
      this.#window.replace(page);
      this.#rows.follow(false);
      this.#rows.reset();
      this.#rows.show(Math.max(this.#window.first, this.#window.find(cursor)));
      this.#show();
    });
  }

  /** Shows what the address asks for. */
  async #showRange() {
    if (!(await this.#showAt(this.#range.from))) return;
    const from = this.#window.find(this.#range.from);
    const to = this.#window.find(this.#range.to);
    this.#chosen = { from, to: to < 0 ? this.#window.next - 1 : to };
    this.#rows.chosen = this.#chosen;
    this.#rows.draw();
  }

  /** Asks for a page, one at a time; false where it was not to be had. */
  async #fetch(parameters, use) {
    if (this.#asking) return false;
    this.#asking = true;
    const generation = this.#generation;
    try {
      const page = await this.#ask({ level: this.#level.value, limit: PAGE_LINES, ...parameters });
      if (generation !== this.#generation) return false;
      use(page);
      this.#say("");
      return true;
    } catch (error) {
      const gone = error.code === "cursor_unknown";
      this.#say(gone ? "That line is not in the log any more." : error.message);
      if (gone && !this.#window.rows.length) this.#fresh();
      return false;
    } finally {
      this.#asking = false;
      this.#show();
    }
  }

  #ask(parameters, signal) {
    const level = this.#level.value;
    return getJson(withQuery(jobPath(this.#jobId, "logs", "lines"), { level, ...parameters }), {
      signal,
    });
  }

  /** Chooses a line, or all from the chosen one to it; the address leads there from now on. */
  #choose(serial, extend = false) {
    if (serial === null) this.#chosen = null;
    else {
      const anchor = extend && this.#chosen ? this.#chosen.anchor : serial;
      this.#chosen = { anchor, from: Math.min(anchor, serial), to: Math.max(anchor, serial) };
      this.#rows.follow(false);
    }
    this.#rows.chosen = this.#chosen;
    this.#rows.draw();
    const lines = this.#chosenLines();
    const hash = lines.length ? hashOf({ from: lines[0].cursor, to: lines.at(-1).cursor }) : "";
    history.replaceState(null, "", location.pathname + location.search + hash);
    this.#show();
  }

  #chosenLines() {
    if (!this.#chosen) return [];
    const { from, to } = this.#chosen;
    const rows = this.#window.rows.slice(from - this.#window.first, to - this.#window.first + 1);
    return rows.filter(({ kind }) => kind === "line");
  }

  async #copy() {
    const [first, last] = this.#rows.seen;
    const chosen = this.#chosenLines();
    const seen = this.#window.rows.slice(first - this.#window.first, last - this.#window.first + 1);
    const lines = chosen.length ? chosen : seen.filter(({ kind }) => kind === "line");
    const count = `${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
    try {
      await navigator.clipboard.writeText(lines.map(({ text }) => `${text}\n`).join(""));
      this.#page.announcer.say(`${count} copied.`);
      setText(this.#status, `${count} copied`);
    } catch {
      this.#say("The browser does not let this page write to the clipboard.");
    }
  }

  #toggle(name) {
    this.#choices[name] = !this.#choices[name];
    localStorage.setItem(CHOICES, JSON.stringify(this.#choices));
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
    const pressed = { follow: following, ...this.#choices };
    for (const [name, toggle] of Object.entries(this.#toggles)) {
      attribute(toggle, "aria-pressed", String(Boolean(pressed[name])));
    }
    const came = this.#came;
    this.#pill.hidden = following || (this.#window.atEnd && came === 0);
    const lines = came === 1 ? "1 new line" : `${came.toLocaleString("en")} new lines`;
    setText(this.#pill, came ? `↓ ${lines}` : "↓ to the end");
    setText(this.#status, this.#statusText());
  }

  #statusText() {
    if (!this.#window.rows.length)
      return this.#phase === "live" || this.#phase === "ended" ? "No lines yet" : "";
    if (this.#chosen) {
      const count = this.#chosenLines().length;
      return `${count} ${count === 1 ? "line" : "lines"} chosen`;
    }
    if (this.#phase === "ended") return "The end of the log";
    return this.#rows.following ? "Following" : "Paused";
  }
}
