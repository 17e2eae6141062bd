/**
 * ANSI escape sequences: text with them becomes runs of styled text. Colours and styles are kept
 * (ECMA-48 SGR), every other sequence is dropped, and control characters are replaced by control
 * pictures. Text of a log or a job always passes through here before the page shows it.
 */

/**
 * @typedef {object} TextStyle
 * @property {string} [fg] text colour: a name such as `bright-red`, or `#rrggbb`.
 * @property {string} [bg] background colour.
 * @property {boolean} [bold]
 * @property {boolean} [dim]
 * @property {boolean} [italic]
 * @property {boolean} [underline]
 * @property {boolean} [strike]
 * @property {boolean} [inverse]
 */

/** @typedef {{text: string, style: TextStyle}} TextRun */

// CSI … final byte; OSC … BEL or ST; other escapes of two or three characters; a lone ESC.
const SEQUENCE =
  // eslint-disable-next-line no-control-regex
  /\x1b\[([0-9;:?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?|\x9b([0-9;:?]*)[ -/]*([@-~])/g;

// eslint-disable-next-line no-control-regex
const ESCAPE = /[\x1b\x9b]/;

// C0 and C1 controls except tab and newline, and the bidirectional controls.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** @type {Readonly<TextStyle>} */
const NO_STYLE = Object.freeze({});

/** @type {Record<number, TextStyle>} */
const STYLE_CODES = {
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

/**
 * Parse text with escape sequences into runs.
 *
 * @param {string} text
 * @returns {TextRun[]}
 */
export function parseRuns(text) {
  if (!ESCAPE.test(text)) return [{ text: replaceControls(text), style: NO_STYLE }];
  /** @type {TextRun[]} */
  const runs = [];
  let style = NO_STYLE;
  let from = 0;
  for (const match of text.matchAll(SEQUENCE)) {
    pushRun(runs, text.slice(from, match.index), style);
    from = match.index + match[0].length;
    if (match[2] === "m" || match[4] === "m") style = applySgr(style, match[1] ?? match[3] ?? "");
  }
  pushRun(runs, text.slice(from), style);
  return runs;
}

/**
 * Return text without escape sequences.
 *
 * @param {string} text
 */
export function plainText(text) {
  return replaceControls(text.replace(SEQUENCE, ""));
}

/**
 * @param {TextRun[]} runs
 * @param {string} text
 * @param {TextStyle} style
 */
function pushRun(runs, text, style) {
  if (text) runs.push({ text: replaceControls(text), style });
}

/**
 * Replace control characters by control pictures, and bidirectional controls by U+FFFD.
 *
 * @param {string} text
 */
function replaceControls(text) {
  return text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return "\uFFFD";
  });
}

/**
 * Apply the parameters of an SGR sequence to a style.
 *
 * @param {TextStyle} style
 * @param {string} parameters
 * @returns {TextStyle}
 */
function applySgr(style, parameters) {
  const codes = parameters.split(/[;:]/).map((code) => Number(code || 0));
  let next = { ...style };
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) next = {};
    else if (STYLE_CODES[code]) Object.assign(next, STYLE_CODES[code]);
    else if (code === 38 || code === 48) {
      const { colour, used } = parseExtendedColour(codes, at + 1);
      next[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    } else if (code >= 30 && code <= 37) next.fg = COLOURS[code - 30];
    else if (code >= 40 && code <= 47) next.bg = COLOURS[code - 40];
    else if (code >= 90 && code <= 97) next.fg = `bright-${COLOURS[code - 90]}`;
    else if (code >= 100 && code <= 107) next.bg = `bright-${COLOURS[code - 100]}`;
  }
  return next;
}

/**
 * Parse a colour of the 256-colour palette or an RGB colour (ITU-T T.416).
 *
 * @param {number[]} codes
 * @param {number} at
 * @returns {{colour: string | undefined, used: number}} `used` is the number of codes read.
 */
function parseExtendedColour(codes, at) {
  if (codes[at] === 5) return { colour: paletteColour(codes[at + 1] ?? 0), used: 2 };
  if (codes[at] === 2) return { colour: toHex(codes.slice(at + 1, at + 4)), used: 4 };
  return { colour: undefined, used: 1 };
}

/** @param {number} code in xterm's palette: 16 names, a cube of 216 colours, 24 greys. */
function paletteColour(code) {
  if (code < 8) return COLOURS[code];
  if (code < 16) return `bright-${COLOURS[code - 8]}`;
  if (code > 231) return toHex(Array(3).fill(8 + 10 * (Math.min(code, 255) - 232)));
  const levels = [0, 95, 135, 175, 215, 255];
  const at = code - 16;
  return toHex([levels[Math.floor(at / 36)], levels[Math.floor(at / 6) % 6], levels[at % 6]]);
}

/** @param {number[]} rgb */
function toHex(rgb) {
  const byte = (/** @type {number} */ value) =>
    Math.min(255, Math.max(0, value || 0))
      .toString(16)
      .padStart(2, "0");
  return `#${[0, 1, 2].map((at) => byte(rgb[at])).join("")}`;
}
