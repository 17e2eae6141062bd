/** Button that copies a text, and says so. */

import { h, setText } from "./dom.js";
import { makeIcon } from "./icons.js";

const SHOWN_MS = 2_000;

/**
 * Make a button that copies a text.
 *
 * @param {string} what is copied: "the error".
 * @param {() => string} getText
 * @param {import("./announcer.js").Announcer} announcer
 */
export function makeCopyButton(what, getText, announcer) {
  const label = h("span", {}, "Copy");
  const show = (/** @type {string} */ text, /** @type {string} */ sentence) => {
    setText(label, text);
    announcer.answer(sentence);
    setTimeout(() => setText(label, "Copy"), SHOWN_MS);
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(getText());
      show("Copied", "Copied.");
    } catch {
      // The browser denies it, or the page is not served by https.
      show("Not allowed", "The browser did not allow access to the clipboard.");
    }
  };
  return h(
    "button.quiet.copy",
    { type: "button", title: `Copy ${what}`, onclick: copy },
    makeIcon("copy"),
    label,
    h("span.visually-hidden", {}, ` ${what}`),
  );
}
