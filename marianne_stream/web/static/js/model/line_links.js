/** Links to log lines: the fragment of an address names a line, or a range of lines, by cursors. */

/** @typedef {{from: string, to: string}} LineRange cursors; equal for a single line. */

/**
 * Return the fragment of a link to a range of lines.
 *
 * @param {LineRange} range
 */
export function makeLineFragment({ from, to }) {
  return from === to ? `#line=${from}` : `#line=${from}..${to}`;
}

/**
 * Parse the fragment of an address; null if it does not name lines.
 *
 * @param {string} fragment
 * @returns {LineRange | null}
 */
export function parseLineFragment(fragment) {
  const match = /^#line=([\w-]+)(?:\.\.([\w-]+))?$/.exec(fragment);
  return match ? { from: match[1], to: match[2] ?? match[1] } : null;
}
