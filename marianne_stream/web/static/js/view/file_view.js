/** File of a workspace: text as a log is shown, rendered Markdown, indented JSON, or an image. */

import { plainText } from "../model/ansi.js";
import {
  decodePath,
  fileFragment,
  guessKind,
  indentJson,
  resolveFileLink,
} from "../model/job_files.js";
import { isTransient } from "../model/request_errors.js";
import { ApiError, getText, jobPath, withQuery } from "../wire/api.js";
import { h, setAttribute, setChildren, setText } from "./dom.js";
import { makeFileFacts } from "./file_facts.js";
import { makeIcon } from "./icons.js";
import { makeDownloadLink, makeFileLog } from "./log_source.js";
import { LogView } from "./log_view.js";
import { makeMarkdown } from "./markdown_text.js";

/** @typedef {import("../model/job_files.js").FileEntry} FileEntry */

/** Larger JSON is shown as text. */
const MAX_JSON_BYTES = 1024 * 1024;

const RETRY_MS = 5_000;

/** Kinds with a form of their own, and a source. */
const RENDERED = new Set(["markdown", "json"]);

export class FileView {
  #page;
  #jobId;
  #onSheet;
  #heading;
  /** @type {FileEntry | undefined} */
  #entry;
  #kind;
  /** True while the source of a rendered file is shown. */
  #isSource = false;
  /** @type {LogView | null} */
  log = null;
  /** Time of the change that is shown. */
  #shownChange = "";
  /** True while the list says that there is no such file. */
  #isGone = false;
  /** True while the file is out of sight: nothing is asked, and what is shown is not followed. */
  #isPaused = true;
  /** @type {AbortController | null} */
  #request = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #retryTimer = null;
  #facts = h("span.file-facts");
  #shownFacts = "";
  #note = h("p.muted.file-note", { hidden: true, role: "status" });
  #body = h("div.file-body");
  #sourceToggle = h(
    "button.quiet",
    { type: "button", onclick: () => this.#toggleSource() },
    "Source",
  );

  /**
   * @param {import("./page.js").Page} page
   * @param {string} jobId
   * @param {string} urlPath
   * @param {FileEntry | undefined} entry undefined if it is not known.
   * @param {(number: number) => void} onSheet
   */
  constructor(page, jobId, urlPath, entry, onSheet) {
    this.#page = page;
    this.#jobId = jobId;
    this.#onSheet = onSheet;
    this.urlPath = urlPath;
    this.#entry = entry;
    this.#kind = entry?.kind ?? guessKind(urlPath);
    const path = plainText(entry?.path ?? decodePath(urlPath));
    this.#heading = h("h2", { id: "file-heading", tabindex: -1 }, path);
    const download = { href: this.#address, download: "", title: "Download the file" };
    this.element = h(
      "div.file",
      {},
      h(
        "div.bar.file-head",
        {},
        h("a.quiet", { href: fileFragment("") }, makeIcon("back"), "All files"),
        this.#heading,
        this.#facts,
        this.#sourceToggle,
        makeDownloadLink(download),
      ),
      this.#note,
      this.#body,
    );
    this.#showFacts();
  }

  get #address() {
    return jobPath(this.#jobId, "files", this.urlPath);
  }

  #open() {
    this.#shownChange = this.#entry?.modified_at ?? "";
    const isRendered = RENDERED.has(this.#kind) && !this.#isSource;
    this.#sourceToggle.hidden = !RENDERED.has(this.#kind) || this.#isTooLarge();
    setAttribute(this.#sourceToggle, "aria-pressed", String(this.#isSource));
    if (this.#kind === "image") this.#showImage();
    else if (this.#kind === "other") this.#showOther();
    else if (isRendered && !this.#isTooLarge()) this.#showRendered();
    else this.#showText();
  }

  close() {
    this.#endRequest();
    this.#closeLog();
  }

  focus() {
    this.#heading.focus({ preventScroll: true });
  }

  /** Ask nothing while the file is out of sight. */
  pause() {
    this.#isPaused = true;
    this.#endRequest();
    this.log?.pause();
  }

  /** Show the content, or follow it again; the element is in the page. */
  resume() {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.log) this.log.resume();
    else this.#open();
  }

  /** Show the lines that the address names. */
  onFragmentChange() {
    this.log?.onFragmentChange();
  }

  onTimeZoneChange() {
    this.#showFacts();
    this.log?.onTimeZoneChange();
  }

  /**
   * @param {FileEntry | undefined} entry as it is now; undefined if it is not in the list.
   * @param {boolean} isWhole the list has all files.
   */
  update(entry, isWhole) {
    if (this.#isPaused) return;
    if (!entry) {
      if (!isWhole || !this.#entry) return;
      this.#isGone = true;
      this.#showNote("The workspace no longer has this file.");
      return;
    }
    if (this.#isGone) this.#showNote("");
    this.#isGone = false;
    const isNew = !this.#entry;
    this.#entry = entry;
    this.#showFacts();
    if (isNew) {
      const isOtherKind = entry.kind !== this.#kind;
      this.#kind = entry.kind;
      if (isOtherKind) this.#open();
      else this.#shownChange = entry.modified_at;
    } else if (entry.modified_at !== this.#shownChange && !this.log) this.#open();
  }

  #showFacts() {
    const { times } = this.#page;
    const shown = JSON.stringify([this.#entry, times.today, times.zone]);
    // A button that has the focus, or is being pressed, stays.
    if (shown === this.#shownFacts) return;
    this.#shownFacts = shown;
    setChildren(this.#facts, this.#entry ? makeFileFacts(this.#entry, times, this.#onSheet) : []);
  }

  #isTooLarge() {
    return this.#kind === "json" && (this.#entry?.size_bytes ?? 0) > MAX_JSON_BYTES;
  }

  #toggleSource() {
    this.#isSource = !this.#isSource;
    this.#open();
  }

  /** @param {string} sentence "" for none. */
  #showNote(sentence) {
    this.#note.hidden = !sentence;
    setText(this.#note, plainText(sentence));
  }

  /** @param {HTMLElement} element */
  #show(element) {
    this.#closeLog();
    const before = this.#body.firstElementChild;
    const top = before?.scrollTop ?? 0;
    const hadFocus = before !== null && before.contains(document.activeElement);
    this.#body.replaceChildren(element);
    element.scrollTop = top;
    if (hadFocus) element.focus({ preventScroll: true });
  }

  #endRequest() {
    this.#request?.abort();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
  }

  #closeLog() {
    this.log?.close();
    this.log = null;
  }

  #showText() {
    this.#endRequest();
    if (this.log) return;
    const source = makeFileLog(this.#page, this.#jobId, this.urlPath);
    const log = new LogView(this.#page, source);
    this.#show(log.element);
    this.log = log;
    log.open();
  }

  #showImage() {
    // Another fragment is another image for the browser, which then asks whether it has changed.
    const version = `#${encodeURIComponent(this.#shownChange)}`;
    const src = withQuery(this.#address, { inline: true }) + version;
    const alt = decodePath(this.urlPath);
    const onerror = () => this.#showNote("The image cannot be shown.");
    const onload = () => this.#showNote("");
    this.#show(h("div.file-image", {}, h("img", { src, alt, onerror, onload })));
  }

  #showOther() {
    const onclick = () => {
      this.#kind = "text";
      this.#open();
    };
    this.#show(
      h(
        "div.file-other",
        {},
        h("p", {}, "Files of this kind are not shown here."),
        h("button.quiet", { type: "button", onclick }, "Show it as text"),
      ),
    );
  }

  async #showRendered() {
    this.#endRequest();
    const { signal } = (this.#request = new AbortController());
    const isMarkdown = this.#kind === "markdown";
    /** @param {Headers} headers */
    const onHeaders = (headers) => {
      // The size is not known of a file that is not in the list.
      if (!isMarkdown && Number(headers.get("Content-Length")) > MAX_JSON_BYTES) this.#showText();
    };
    try {
      const query = { render: isMarkdown, inline: !isMarkdown };
      const text = await getText(withQuery(this.#address, query), {
        signal,
        onHeaders,
        redirect: "manual",
      });
      const element = isMarkdown ? this.#makeMarkdown(text) : makeJson(text);
      this.#showNote(element ? "" : "This cannot be shown as JSON, and is shown as text.");
      if (element) this.#show(element);
      else this.#showText();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#showNote(error.message);
      if (isTransient(error)) this.#retryTimer = setTimeout(() => this.#open(), RETRY_MS);
      else this.#showText();
    }
  }

  /** @param {string} html */
  #makeMarkdown(html) {
    const element = makeMarkdown(html, (href) => {
      const path = resolveFileLink(this.urlPath, href);
      return path && fileFragment(path);
    });
    setAttribute(element, "tabindex", 0);
    setAttribute(element, "role", "region");
    setAttribute(element, "aria-labelledby", "file-heading");
    return element;
  }
}

/** @param {string} text */
function makeJson(text) {
  const indented = text.length > MAX_JSON_BYTES ? "" : indentJson(text);
  const label = { tabindex: 0, role: "region", "aria-labelledby": "file-heading" };
  return indented ? h("pre.file-json", label, indented) : null;
}
