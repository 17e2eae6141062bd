/** Notifications at the end of jobs, for the jobs that the reader chose; the choice is kept. */

import { plainText } from "../model/ansi.js";
import { isTerminal, statusLabel } from "../model/status.js";
import { load, save } from "./local_storage.js";

const KEY = "marianne-stream notify";

export class Notifier {
  #jobIds = loadJobIds();
  #openJob;

  /** @param {(jobId: string) => void} openJob is called when a notification is clicked. */
  constructor(openJob) {
    this.#openJob = openJob;
    addEventListener("storage", ({ key }) => {
      if (key === KEY) this.#jobIds = loadJobIds();
    });
  }

  /** @param {string} jobId */
  isEnabled(jobId) {
    return this.#jobIds.has(jobId);
  }

  /**
   * Enable or disable the notification of a job, asking for permission if necessary.
   *
   * @param {string} jobId
   * @returns {Promise<boolean>} true if it is enabled now.
   */
  async toggle(jobId) {
    if (this.#jobIds.delete(jobId)) {
      this.#save();
      return false;
    }
    if (typeof Notification === "undefined") return false;
    const permission =
      Notification.permission === "default"
        ? await Notification.requestPermission()
        : Notification.permission;
    if (permission !== "granted") return false;
    this.#jobIds.add(jobId);
    this.#save();
    return true;
  }

  /**
   * Notify if a job is over, and disable its notification.
   *
   * @param {{job_id: string, status: string}} job
   */
  onStatusChange({ job_id: jobId, status }) {
    if (!this.#jobIds.has(jobId) || !isTerminal(status)) return;
    this.#jobIds.delete(jobId);
    this.#save();
    const notification = makeNotification(jobId, status);
    if (!notification) return;
    notification.onclick = () => {
      window.focus();
      this.#openJob(jobId);
      notification.close();
    };
  }

  #save() {
    save(KEY, [...this.#jobIds]);
  }
}

/** @returns {Set<string>} */
function loadJobIds() {
  return new Set(load(KEY, []));
}

/**
 * @param {string} jobId
 * @param {string} status
 * @returns {Notification | null} null if the browser allows them to service workers only (Android).
 */
function makeNotification(jobId, status) {
  try {
    return new Notification(`${plainText(jobId)}: ${statusLabel(status)}`, {
      // All tabs notify: those with the same tag replace each other.
      tag: `marianne-stream ${jobId}`,
      icon: `/static/icons/${status === "failed" ? "failed" : "idle"}.svg`,
    });
  } catch {
    return null;
  }
}
