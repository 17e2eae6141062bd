/** A notification when a job is over that one asked to hear of; kept from visit to visit. */

import { plain } from "../model/ansi.js";
import { isTerminal, wordOf } from "../model/status.js";
import { keep, recall } from "./store.js";

const KEY = "marianne-stream notify";

/** Which jobs one wants to hear of. */
export class Notifier {
  #jobs = new Set(recall(KEY, []));
  #open;

  /** @param {(jobId: string) => void} open shows a job. */
  constructor(open) {
    this.#open = open;
    addEventListener("storage", ({ key }) => {
      if (key === KEY) this.#jobs = new Set(recall(KEY, []));
    });
  }

  has(jobId) {
    return this.#jobs.has(jobId);
  }

  /** Asks for a job's end, or no more; says whether it is asked for now. */
  async toggle(jobId) {
    if (this.#jobs.delete(jobId)) {
      this.#keep();
      return false;
    }
    if (typeof Notification === "undefined") return false;
    const permission =
      Notification.permission === "default"
        ? await Notification.requestPermission()
        : Notification.permission;
    if (permission !== "granted") return false;
    this.#jobs.add(jobId);
    this.#keep();
    return true;
  }

  /** A job has another status, or was seen to have one that one has not heard of. */
  turned({ job_id: jobId, status }) {
    if (!this.#jobs.has(jobId) || !isTerminal(status)) return;
    this.#jobs.delete(jobId);
    this.#keep();
    const notification = notificationOf(jobId, status);
    if (!notification) return;
    notification.onclick = () => {
      window.focus();
      this.#open(jobId);
      notification.close();
    };
  }

  #keep() {
    keep(KEY, [...this.#jobs]);
  }
}

/** What is shown; null where this browser shows nothing to a page (Android wants a service worker). */
function notificationOf(jobId, status) {
  try {
    // All tabs say the same: one of them is seen.
    return new Notification(`${plain(jobId)}: ${wordOf(status)}`, {
      tag: `marianne-stream ${jobId}`,
      icon: `/static/icons/${status === "failed" ? "failed" : "calm"}.svg`,
    });
  } catch {
    return null;
  }
}
