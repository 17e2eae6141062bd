/** Notifications about jobs, as the reader has chosen; the choice is kept in this browser. */

import { plainText } from "../model/ansi.js";
import { NotifyRules } from "../model/notify_rules.js";
import { statusLabel } from "../model/status.js";
import { load, save, serverKey } from "./local_storage.js";
import { iconUrl } from "./tab.js";

/** @typedef {import("../model/notify_rules.js").NotifyKind} NotifyKind */
/** @typedef {import("../model/notify_rules.js").NotifiableJob} NotifiableJob */
/** @typedef {"granted" | "denied" | "default" | "insecure" | "missing"} NotifyPermission */

const KEY = serverKey("marianne-stream notifications");

export class Notifier {
  #openJob;
  #getJob;
  /** True once the browser has shown that it has notifications for service workers only (Android). */
  #isUnsupported = false;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  rules = new NotifyRules(load(KEY, null));

  /**
   * @param {(jobId: string) => void} openJob is called when a notification is clicked.
   * @param {(jobId: string) => NotifiableJob | undefined} getJob returns the present state of a job.
   */
  constructor(openJob, getJob) {
    this.#openJob = openJob;
    this.#getJob = getJob;
    addEventListener("storage", ({ key }) => {
      if (key !== KEY) return;
      this.rules = new NotifyRules(load(KEY, null));
      this.#tell();
    });
  }

  /** Permission of the browser, or the reason why it gives none. */
  get permission() {
    return this.#isUnsupported ? "missing" : readPermission();
  }

  /**
   * Call a function when a rule changes, until the returned function is called.
   *
   * @param {() => void} listener
   */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Turn a rule on or off; the browser asks for permission if it has not yet.
   *
   * @param {string | null} jobId `ALL_JOBS` for the rules for all jobs.
   * @param {NotifyKind} kind
   * @param {boolean} isOn
   * @returns {Promise<boolean>} false if the browser allows no notifications: the rule stays off.
   */
  async setRule(jobId, kind, isOn) {
    if (isOn && this.permission === "default") await this.askPermission();
    const isAllowed = !isOn || this.permission === "granted";
    if (isAllowed) {
      this.rules.set(jobId, kind, isOn, jobId === null ? undefined : this.#getJob(jobId));
      this.#save();
    }
    this.#tell();
    return isAllowed;
  }

  /** Let the browser ask for permission, if it shows notifications of pages. */
  async askPermission() {
    // Without permission, this shows nothing.
    if (this.#make("", {})) await Notification.requestPermission();
    this.#tell();
  }

  /**
   * Notify of a change of a job, if the reader wants to hear of it.
   *
   * @param {NotifiableJob & {last_progress_at?: string | null}} job
   * @param {NotifiableJob} [previous] see `NotifyRules.take`.
   */
  onChange(job, previous) {
    const hadRules = this.rules.hasJob(job.job_id);
    const kind = this.rules.take(job, previous);
    if (hadRules) this.#save();
    if (!kind) return;
    const words = kind === "person" ? "waits for a person" : statusLabel(job.status);
    const notification = this.#make(`${plainText(job.job_id)}: ${words}`, {
      // All tabs notify: those with the same tag replace each other, silently.
      tag: `marianne-stream ${job.job_id} ${kind} ${job.completed_at ?? job.last_progress_at}`,
      icon: iconUrl(kind === "failed" ? "failed" : "idle"),
    });
    if (!notification) return;
    notification.onclick = () => {
      window.focus();
      this.#openJob(job.job_id);
      notification.close();
    };
  }

  /**
   * Show a notification as an example.
   *
   * @returns {boolean} false if the browser shows none.
   */
  showExample() {
    return this.#make("Marianne: an example", { tag: "marianne-stream example" }) !== null;
  }

  /**
   * @param {string} title
   * @param {NotificationOptions} options
   * @returns {Notification | null} null if the browser shows no notifications of pages.
   */
  #make(title, options) {
    try {
      return new Notification(title, options);
    } catch {
      this.#isUnsupported = true;
      this.#tell();
      return null;
    }
  }

  #save() {
    save(KEY, this.rules);
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }
}

/** @returns {NotifyPermission} */
function readPermission() {
  if (!window.isSecureContext) return "insecure";
  return typeof Notification === "undefined" ? "missing" : Notification.permission;
}
