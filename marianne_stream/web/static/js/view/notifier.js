/** A notification when a job is over that one asked to hear of; kept from visit to visit. */

import { isTerminal, wordOf } from "../model/status.js";

const KEY = "marianne-stream notify";

/** Which jobs one wants to hear of. */
export class Notifier {
  #jobs = new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
  #open;

  /** @param {(jobId: string) => void} open shows a job. */
  constructor(open) {
    this.#open = open;
    addEventListener("storage", ({ key, newValue }) => {
      if (key === KEY) this.#jobs = new Set(JSON.parse(newValue ?? "[]"));
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

  /** A job has another status. */
  turned({ job_id: jobId, status }) {
    if (!this.#jobs.has(jobId) || !isTerminal(status)) return;
    this.#jobs.delete(jobId);
    this.#keep();
    // All tabs say the same: one of them is seen.
    const notification = new Notification(`${jobId}: ${wordOf(status)}`, {
      tag: `marianne-stream ${jobId}`,
      icon: `/static/icons/${status === "failed" ? "failed" : "calm"}.svg`,
    });
    notification.onclick = () => {
      window.focus();
      this.#open(jobId);
      notification.close();
    };
  }

  #keep() {
    localStorage.setItem(KEY, JSON.stringify([...this.#jobs]));
  }
}
