/** Button "Notify me", and the dialog in which a reader chooses what to be notified of. */

import { plainText } from "../model/ansi.js";
import { ALL_JOBS, NOTIFY_KINDS, NOTIFY_LABELS } from "../model/notify_rules.js";
import { h, setAttribute, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

/** @typedef {import("../model/notify_rules.js").NotifyKind} NotifyKind */
/** @typedef {import("./notifier.js").NotifyPermission} NotifyPermission */

const EXPLANATION =
  "This browser shows a notification when one of these happens. A page of this server must be " +
  "open, in any tab or window; it need not be visible.";

/** @type {Record<NotifyPermission, string>} */
const PERMISSION_TEXTS = {
  granted: "The browser allows notifications.",
  default: "The browser has not allowed notifications yet. It will ask.",
  denied:
    "The browser denies notifications from this page. Allow them in its settings for this site, then " +
    "choose again.",
  insecure:
    "The browser denies notifications: it allows them on https pages and on your own machine only.",
  missing: "This browser shows no notifications of pages.",
};

/** @type {Record<NotifyPermission, string>} */
const LABELS_IF_ON = {
  granted: "Notifying",
  default: "Notifications not allowed",
  denied: "Notifications denied",
  insecure: "Notifications denied",
  missing: "No notifications",
};

export class NotifyButton {
  #notifier;
  #jobId;
  #label = h("span");
  #permission = h("p.permission", { role: "status" });
  #allow;
  #example;
  /** @type {{jobId: string | null, kind: NotifyKind, box: HTMLInputElement}[]} */
  #boxes = [];
  #dialog;
  #stopListening;

  /**
   * @param {import("./notifier.js").Notifier} notifier
   * @param {string | null} jobId job whose rules are offered beside those for all; null for none.
   */
  constructor(notifier, jobId) {
    this.#notifier = notifier;
    this.#jobId = jobId;
    this.#example = h(
      "button",
      { type: "button", onclick: () => notifier.showExample() },
      "Show an example",
    );
    this.#allow = h(
      "button",
      { type: "button", onclick: () => notifier.askPermission() },
      "Allow notifications",
    );
    this.#dialog = this.#makeDialog();
    this.button = h(
      "button.quiet.notify",
      { type: "button", "aria-haspopup": "dialog", onclick: () => this.#open() },
      makeIcon("bell"),
      this.#label,
    );
    this.element = h("div.notify-menu", {}, this.button, this.#dialog);
    this.#stopListening = notifier.listen(() => this.#update());
    this.#update();
  }

  close() {
    this.#stopListening();
  }

  #makeDialog() {
    const form = h(
      "form",
      { method: "dialog" },
      h("div.bar", {}, this.#allow, this.#example, h("button", {}, "Close")),
    );
    const own =
      this.#jobId === null ? null : this.#makeGroup(this.#jobId, `${plainText(this.#jobId)}:`);
    return h(
      "dialog.notify-dialog",
      { "aria-labelledby": "notify-heading" },
      h("h2", { id: "notify-heading" }, "Notify me"),
      h("p.muted", {}, EXPLANATION),
      own,
      this.#makeGroup(ALL_JOBS, "Any job:"),
      this.#permission,
      form,
    );
  }

  /**
   * @param {string | null} jobId
   * @param {string} legend
   */
  #makeGroup(jobId, legend) {
    const labels = NOTIFY_KINDS.map((kind) => {
      const box = h("input", {
        type: "checkbox",
        onchange: () => this.#set(jobId, kind, box.checked),
      });
      this.#boxes.push({ jobId, kind, box });
      return h("label", {}, box, NOTIFY_LABELS[kind]);
    });
    return h("fieldset", {}, h("legend", {}, legend), labels);
  }

  #open() {
    this.#update();
    this.#dialog.showModal();
  }

  /**
   * @param {string | null} jobId
   * @param {NotifyKind} kind
   * @param {boolean} isOn
   */
  async #set(jobId, kind, isOn) {
    await this.#notifier.setRule(jobId, kind, isOn);
    this.#update();
  }

  #update() {
    const { permission, rules } = this.#notifier;
    const isPossible = permission !== "missing" && permission !== "insecure";
    for (const { jobId, kind, box } of this.#boxes) {
      box.checked = rules.has(jobId, kind);
      box.disabled = !isPossible && !box.checked;
    }
    setText(this.#permission, PERMISSION_TEXTS[permission]);
    setAttribute(this.#permission, "data-permission", permission);
    this.#allow.hidden = permission !== "default";
    this.#example.hidden = permission === "default";
    this.#example.disabled = permission !== "granted";
    const isOn = rules.hasAny || (this.#jobId !== null && rules.hasJob(this.#jobId));
    setText(this.#label, isOn ? LABELS_IF_ON[permission] : "Notify me");
    setAttribute(this.button, "data-on", isOn);
  }
}
