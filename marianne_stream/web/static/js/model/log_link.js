/** A link to a line of a log, or to a range of lines: what stands behind the # of an address. */

/** @param {{from: string, to: string}} range cursors; the same twice for one line. */
export function hashOf({ from, to }) {
  return from === to ? `#line=${from}` : `#line=${from}..${to}`;
}

/** @returns {{from: string, to: string} | null} */
export function rangeOf(hash) {
  const match = /^#line=([\w-]+)(?:\.\.([\w-]+))?$/.exec(hash);
  return match ? { from: match[1], to: match[2] ?? match[1] } : null;
}
