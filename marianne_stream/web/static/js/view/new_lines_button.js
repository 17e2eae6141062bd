/** Button of a log that goes to its end, with the number of new lines there. */

import { h, setText } from "./dom.js";

export class NewLinesButton {
  /** @param {() => void} onClick */
  constructor(onClick) {
    this.element = h("button.new-lines-button", { type: "button", hidden: true, onclick: onClick });
  }

  /** @param {{isFollowing: boolean, atEnd: boolean, count: number}} state count of new lines. */
  update({ isFollowing, atEnd, count }) {
    this.element.hidden = isFollowing || (atEnd && count === 0);
    const newLines = count === 1 ? "1 new line" : `${count.toLocaleString("en")} new lines`;
    setText(this.element, count ? `↓ ${newLines}` : "↓ Go to the end");
  }
}
