/** Files of a job's workspace: what changed last first, or one file. Asks nothing while it is hidden. */

import { plainText } from "../model/ansi.js";
import { fileFragment, filterFiles, parseFileFragment } from "../model/job_files.js";
import { isTransient } from "../model/request_errors.js";
import { ApiError, getJson, jobPart, jobPath, withQuery } from "../wire/api.js";
import { h, setChildren, setText } from "./dom.js";
import { makeFileFacts } from "./file_facts.js";
import { FileView } from "./file_view.js";
import { makeIcon } from "./icons.js";
import { makeDownloadLink } from "./log_source.js";
import { RovingFocus } from "./roving_focus.js";

/** @typedef {import("../model/job_files.js").FileEntry} FileEntry */

const MAX_FILES = 1_000;

/** Rows that are shown first, and that each press of the button adds. */
const MORE_ROWS = 200;

/** The list is requested at most once in this time. */
const REFRESH_MS = 2_000;

const RETRY_MS = 5_000;

const FILE_EVENTS = "observer.file_";

export class FilesView {
  #page;
  #jobId;
  #onSheet;
  /** @type {{entries: FileEntry[], truncated: boolean} | null} */
  #list = null;
  /** @type {ApiError | null} */
  #failure = null;
  /** @type {FileView | null} */
  #file = null;
  #isShown = false;
  #isActive = false;
  #isStale = true;
  #requestedAt = -Infinity;
  #maxRows = MORE_ROWS;
  /** Day for which the times are shown. */
  #today = "";
  /** @type {AbortController | null} */
  #request = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;
  /** @type {(() => void) | null} */
  #unsubscribe = null;
  #closing = new AbortController();
  /** @type {Map<string, HTMLElement>} rows by what they show. */
  #rows = new Map();
  #rowList = h("ol.file-rows", { role: "list", "aria-label": "Files, last changed first" });
  #focus = new RovingFocus(this.#rowList, ".file-link", {
    previous: "ArrowUp",
    next: "ArrowDown",
    row: ".file-row",
  });
  #more = h("button.quiet", { type: "button", onclick: () => this.#showMore() });
  #filter = h("input", {
    type: "search",
    placeholder: "Filter by name",
    "aria-label": "Filter files by name",
    oninput: () => this.#draw(),
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onFilterKey(event),
  });
  #filterField = h("label.search-field", {}, makeIcon("search"), this.#filter);
  #note = h("p.muted.file-note", { role: "status" });
  #originLink;
  #listElement;
  /** @type {Record<string, () => void>} keys of the list. */
  #listKeys = {
    j: () => this.#focus.step(1),
    k: () => this.#focus.step(-1),
    "/": () => this.#filter.focus(),
  };

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   * @param {(number: number) => void} onSheet the reader wants to see a sheet.
   */
  constructor(page, jobId, onSheet) {
    this.#page = page;
    this.#jobId = jobId;
    this.#onSheet = onSheet;
    const origin = { href: jobPath(jobId, "files"), hidden: true };
    this.#originLink = h("a.file-origin", origin, "Open the list on the conductor's own server");
    this.#listElement = h(
      "div.file-list",
      {},
      h("div.bar", {}, h("h2", { id: "files-heading" }, "Files"), this.#filterField),
      this.#note,
      this.#originLink,
      h("div.file-scroll", {}, this.#rowList, this.#more),
    );
    this.element = h("section.panel.files", { "aria-label": "Files of the workspace" });
    this.element.append(this.#listElement);
    const { signal } = this.#closing;
    document.addEventListener("visibilitychange", () => this.#update(), { signal });
    this.#draw();
  }

  /** True while the tab is chosen. */
  get isShown() {
    return this.#isShown;
  }

  /** View of the text of the file that is shown; null if there is none. */
  get log() {
    return this.#file?.log ?? null;
  }

  /**
   * Run the shortcut of a key, if what is shown has one: a text has those of a log.
   *
   * @param {KeyboardEvent} event
   */
  runShortcut(event) {
    if (this.#file) this.log?.shortcuts.find(({ key }) => key === event.key)?.run(event);
    else this.#listKeys[event.key]?.();
  }

  /** Fragment of the address of what is shown. */
  get fragment() {
    return fileFragment(this.#file?.urlPath ?? "");
  }

  /**
   * Show what the address names.
   *
   * @returns {boolean} false if it names no files.
   */
  onFragmentChange() {
    const address = parseFileFragment(location.hash);
    if (!address) return false;
    if (address.urlPath !== (this.#file?.urlPath ?? "")) this.#showFile(address.urlPath);
    else this.#file?.onFragmentChange();
    return true;
  }

  /** @param {boolean} isShown the tab is chosen. */
  setShown(isShown) {
    this.#isShown = isShown;
    this.#update();
  }

  close() {
    this.#closing.abort();
    this.setShown(false);
    this.#request?.abort();
    this.#file?.close();
  }

  onTimeZoneChange() {
    this.#today = this.#page.times.today;
    this.#rows.clear();
    this.#draw();
    this.#file?.onTimeZoneChange();
  }

  /** Request the list again, at most once in two seconds, and not while it is hidden. */
  refreshSoon() {
    this.#isStale = true;
    if (!this.#isActive || this.#timer !== null) return;
    this.#requestSoon(Math.max(0, this.#requestedAt + REFRESH_MS - Date.now()));
  }

  /** @param {number} wait in milliseconds. */
  #requestSoon(wait) {
    if (!this.#isActive || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#load();
    }, wait);
  }

  /** Follow the files while they are in sight. */
  #update() {
    const isActive = this.#isShown && document.visibilityState === "visible";
    if (isActive === this.#isActive) return;
    this.#isActive = isActive;
    if (!isActive) {
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = null;
      this.#unsubscribe?.();
      this.#unsubscribe = null;
      this.#file?.pause();
      return;
    }
    this.#followEvents();
    this.#file?.resume();
    this.refreshSoon();
  }

  /** Follow anew: the job was resumed, or has been created. */
  resume() {
    if (!this.#isActive) return;
    this.#followEvents();
    this.#file?.log?.resume();
    this.refreshSoon();
  }

  #followEvents() {
    this.#unsubscribe?.();
    this.#unsubscribe = this.#page.follow({
      part: jobPart("events", this.#jobId, { event: FILE_EVENTS, limit: 0 }),
      onEvents: (events) => this.#onEvents(events),
      // Rows of today have no date, once the server's clock is known.
      onState: () => this.#today !== this.#page.times.today && this.onTimeZoneChange(),
    });
  }

  /** @param {import("../wire/event_parser.js").ServerSentEvent[]} events */
  #onEvents(events) {
    const isChange = events.some(({ event }) => event.startsWith(FILE_EVENTS) || event === "gap");
    if (isChange) this.refreshSoon();
  }

  async #load() {
    if (this.#request) return;
    this.#isStale = false;
    this.#requestedAt = Date.now();
    const { signal } = (this.#request = new AbortController());
    const path = withQuery(jobPath(this.#jobId, "files"), { limit: MAX_FILES });
    try {
      this.#list = await getJson(path, { signal, redirect: "manual" });
      this.#failure = null;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#failure = error;
      if (!isTransient(error)) this.#list = null;
      else this.#requestSoon(RETRY_MS);
    }
    this.#request = null;
    this.#requestedAt = Date.now();
    this.#draw();
    const isWhole = this.#list !== null && !this.#list.truncated;
    this.#file?.update(this.#find(this.#file.urlPath), isWhole);
    if (this.#isStale) this.refreshSoon();
  }

  /** @param {string} urlPath */
  #find(urlPath) {
    return this.#list?.entries.find((entry) => entry.url_path === urlPath);
  }

  /** @param {string} urlPath "" for the list. */
  #showFile(urlPath) {
    const before = this.#file;
    const hadFocus = this.element.contains(document.activeElement);
    before?.close();
    this.#file = urlPath
      ? new FileView(this.#page, this.#jobId, urlPath, this.#find(urlPath), this.#onSheet)
      : null;
    this.element.replaceChildren(this.#file?.element ?? this.#listElement);
    if (this.#isActive) this.#file?.resume();
    if (hadFocus && this.#file) this.#file.focus();
    else if (hadFocus && before) this.#focusFile(before.urlPath);
  }

  /** @param {string} urlPath of the file from which the reader comes back. */
  #focusFile(urlPath) {
    const links = [...this.#rowList.querySelectorAll("a")];
    const link = links.find((each) => each.getAttribute("href") === fileFragment(urlPath));
    (link ?? this.#filter).focus();
  }

  #showMore() {
    const shown = this.#rows.size;
    this.#maxRows += MORE_ROWS;
    this.#draw();
    /** @type {NodeListOf<HTMLElement>} */
    const links = this.#rowList.querySelectorAll(".file-link");
    if (this.#more.hidden) links[shown]?.focus();
  }

  /** @param {KeyboardEvent} event */
  #onFilterKey(event) {
    if (event.key !== "Escape" || !this.#filter.value) return;
    event.preventDefault();
    event.stopPropagation();
    this.#filter.value = "";
    this.#draw();
  }

  #draw() {
    const files = filterFiles(this.#list?.entries ?? [], this.#filter.value);
    const shown = files.slice(0, this.#maxRows);
    /** @type {Map<string, HTMLElement>} */
    const rows = new Map();
    for (const entry of shown) {
      const key = JSON.stringify(entry);
      rows.set(key, this.#rows.get(key) ?? this.#makeRow(entry));
    }
    const focusedRow = document.activeElement?.closest(".file-row");
    const focused = focusedRow?.querySelector("a")?.getAttribute("href");
    const hadFocus = this.#rowList.contains(document.activeElement);
    this.#rows = rows;
    setChildren(this.#rowList, [...rows.values()]);
    this.#focus.update();
    // The row of a file that has changed is a new one.
    if (hadFocus && !this.#rowList.contains(document.activeElement)) {
      const links = [...this.#rowList.querySelectorAll("a")];
      links.find((link) => link.getAttribute("href") === focused)?.focus();
    }
    this.#more.hidden = files.length <= shown.length;
    setText(this.#more, `${files.length - shown.length} more`);
    this.#filterField.hidden = !this.#list;
    this.#originLink.hidden = this.#failure?.code !== "not_available_on_edge";
    const note = this.#noteText(files.length);
    this.#note.hidden = !note;
    setText(this.#note, plainText(note));
  }

  /** @param {number} count of files that are listed. */
  #noteText(count) {
    if (this.#failure) return this.#failure.message;
    if (!this.#list) return "Loading …";
    const { entries, truncated } = this.#list;
    const all = filterFiles(entries, "").length;
    if (!all) return "The workspace has no files to show.";
    const cut = truncated ? `There are more files, perhaps newer ones: ${all} are listed.` : "";
    return count ? cut : `No file matches. ${cut}`.trim();
  }

  /** @param {FileEntry} entry */
  #makeRow(entry) {
    const { path, url_path: urlPath } = entry;
    const href = jobPath(this.#jobId, "files", urlPath);
    const name = plainText(path);
    return h(
      "li.file-row",
      { "data-kind": entry.kind },
      h("a.file-link", { href: fileFragment(urlPath) }, name),
      makeFileFacts(entry, this.#page.times, this.#onSheet),
      makeDownloadLink({
        href,
        download: "",
        title: `Download ${name}`,
        "aria-label": `Download ${name}`,
      }),
    );
  }
}
