/**
 * Text with escape sequences as runs of text with looks: colours are kept (ECMA-48 SGR), every other
 * sequence is dropped, and other control characters are shown as pictures. Nothing of a log reaches
 * the page raw.
 */

// CSI … final byte; OSC … BEL or ST; other escapes of two or three characters; a lone ESC.
const SEQUENCE =
  // eslint-disable-next-line no-control-regex
  /\x1b\[([0-9;:?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?|\x9b([0-9;:?]*)[ -/]*([@-~])/g;

// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

const PLAIN = Object.freeze({});

/**
 * @param {string} text
 * @returns {{text: string, look: object}[]} `look` has `fg` and `bg` (a name, or `#rrggbb`), `bold`,
 *   `dim`, `italic`, `underline`, `strike`, `inverse`, where they are set.
 */
export function runsOf(text) {
  if (!/[\x1b\x9b]/.test(text)) return [{ text: shown(text), look: PLAIN }];
  const runs = [];
  let look = PLAIN;
  let from = 0;
  for (const match of text.matchAll(SEQUENCE)) {
    push(runs, text.slice(from, match.index), look);
    from = match.index + match[0].length;
    if (match[2] === "m" || match[4] === "m") look = changed(look, match[1] ?? match[3] ?? "");
  }
  push(runs, text.slice(from), look);
  return runs;
}

/** The same text without any of it. */
export function plain(text) {
  return shown(text.replace(SEQUENCE, ""));
}

function push(runs, text, look) {
  if (text) runs.push({ text: shown(text), look });
}

/** Control characters as their pictures; those that turn the direction of text as what they are. */
function shown(text) {
  return text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return "\uFFFD";
  });
}

const SWITCHES = {
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  22: { bold: undefined, dim: undefined },
  23: { italic: undefined },
  24: { underline: undefined },
  27: { inverse: undefined },
  29: { strike: undefined },
  39: { fg: undefined },
  49: { bg: undefined },
};

function changed(look, parameters) {
  const codes = parameters.split(/[;:]/).map((code) => Number(code || 0));
  let next = { ...look };
  for (let place = 0; place < codes.length; place += 1) {
    const code = codes[place];
    if (code === 0) next = {};
    else if (SWITCHES[code]) Object.assign(next, SWITCHES[code]);
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, place + 1);
      next[code === 38 ? "fg" : "bg"] = colour;
      place += used;
    } else if (code >= 30 && code <= 37) next.fg = NAMES[code - 30];
    else if (code >= 40 && code <= 47) next.bg = NAMES[code - 40];
    else if (code >= 90 && code <= 97) next.fg = `bright-${NAMES[code - 90]}`;
    else if (code >= 100 && code <= 107) next.bg = `bright-${NAMES[code - 100]}`;
  }
  return next;
}

/** A colour of 256 or of all, and how many codes it took. */
function extended(codes, place) {
  if (codes[place] === 5) return [of256(codes[place + 1] ?? 0), 2];
  if (codes[place] === 2) return [hex(codes.slice(place + 1, place + 4)), 4];
  return [undefined, 1];
}

function of256(code) {
  if (code < 8) return NAMES[code];
  if (code < 16) return `bright-${NAMES[code - 8]}`;
  if (code > 231) return hex(Array(3).fill(8 + 10 * (Math.min(code, 255) - 232)));
  const steps = [0, 95, 135, 175, 215, 255];
  const at = code - 16;
  return hex([steps[Math.floor(at / 36)], steps[Math.floor(at / 6) % 6], steps[at % 6]]);
}

function hex(parts) {
  const two = (part) =>
    Math.min(255, Math.max(0, part || 0))
      .toString(16)
      .padStart(2, "0");
  return `#${[0, 1, 2].map((at) => two(parts[at])).join("")}`;
}
