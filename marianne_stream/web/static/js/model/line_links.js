/**
 * Links to log lines in the fragment of an address: `#L6-L9.3f9a01c4`. The last part is the
 * beginning of the hash in the first line's cursor, which tells whether the line is still the same. A
 * range through several files, or a log with other cursors, is named by cursors instead.
 */

/** @typedef {{number: number, cursor: string}} LinkedLine */

/**
 * @typedef {object} LineRange
 * @property {string} [from] cursor of the first line.
 * @property {string} [to] cursor of the last line.
 * @property {number} [first] number of the first line.
 * @property {number} [last] number of the last line.
 * @property {string} [check] "" if the link has none.
 */

const CURSOR = /^l-[0-9a-f]+-([0-9a-f]+)-\d+u?-\d+-([0-9a-f]{16})$/;

/** Number of digits of a check: two lines in 4 billion have the same. */
const CHECK_DIGITS = 8;

/**
 * Return the fragment of a link to a range of lines.
 *
 * @param {LinkedLine} from
 * @param {LinkedLine} to
 */
export function makeLineFragment(from, to) {
  const [first, last] = [CURSOR.exec(from.cursor), CURSOR.exec(to.cursor)];
  if (!first || first[1] !== last?.[1]) {
    return from.cursor === to.cursor
      ? `#line=${from.cursor}`
      : `#line=${from.cursor}..${to.cursor}`;
  }
  const range = from.number === to.number ? "" : `-L${to.number}`;
  return `#L${from.number}${range}.${first[2].slice(0, CHECK_DIGITS)}`;
}

/**
 * Parse the fragment of an address; null if it does not name lines.
 *
 * @param {string} fragment
 * @returns {LineRange | null}
 */
export function parseLineFragment(fragment) {
  const short = /^#L(\d{1,12})(?:-L?(\d{1,12}))?(?:\.([0-9a-f]{1,16}))?$/.exec(fragment);
  if (short) {
    const numbers = [Number(short[1]), Number(short[2] ?? short[1])];
    return { first: Math.min(...numbers), last: Math.max(...numbers), check: short[3] ?? "" };
  }
  const long = /^#line=([\w-]+)(?:\.\.([\w-]+))?$/.exec(fragment);
  return long ? { from: long[1], to: long[2] ?? long[1] } : null;
}

/**
 * Return true if a line is the one for which a link was made; a link without a check fits any line.
 *
 * @param {string} cursor of the line.
 * @param {string} check of the link.
 */
export function isSameLine(cursor, check) {
  return !check || Boolean(CURSOR.exec(cursor)?.[2].startsWith(check));
}
