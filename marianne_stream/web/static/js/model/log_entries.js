/**
 * Entries of a log: a line with a level or a time, and the lines below it that have neither, such as
 * a traceback. The limits are the server's.
 */

/** @typedef {import("./log_rows.js").LogRow} LogRow */

/**
 * @typedef {object} LogEntry of at least two lines.
 * @property {LogRow} head the first line.
 * @property {number} lineCount
 * @property {number} chars
 * @property {boolean} [isOpen] the reader's choice; undefined for that of all entries.
 */

export const MAX_LINES = 200;
const MAX_CHARS = 64 * 1024;

/**
 * Add a row to the entry of the row before it, if it belongs there.
 *
 * @param {LogRow} row
 * @param {LogRow | undefined} previous
 * @returns {boolean} true if it does.
 */
export function joinEntry(row, previous) {
  if (row.kind !== "line" || row.level || row.loggedAt) return false;
  // A search leaves lines out.
  if (previous?.kind !== "line" || row.number !== previous.number + 1) return false;
  if (previous.job !== row.job) return false;
  const entry = previous.entry ?? startEntry(previous);
  if (!entry || entry.lineCount >= MAX_LINES) return false;
  if (entry.chars + row.text.length > MAX_CHARS) return false;
  previous.entry = row.entry = entry;
  entry.lineCount += 1;
  entry.chars += row.text.length;
  return true;
}

/**
 * Remove a row at the end of its entry.
 *
 * @param {LogRow} row
 */
export function leaveEntry(row) {
  if (!row.entry) return;
  row.entry.lineCount -= 1;
  row.entry.chars -= row.text.length;
  row.entry = undefined;
}

/**
 * Return true if a row is the first of an entry of several lines.
 *
 * @param {LogRow} row
 */
export function isEntryHead(row) {
  return row.entry?.head === row && row.entry.lineCount > 1;
}

/**
 * Return true if a row is not shown, since its entry is folded.
 *
 * @param {LogRow} row
 * @param {boolean} areFolded entries are folded unless the reader has opened them.
 */
export function isFolded(row, areFolded) {
  const { entry } = row;
  return entry !== undefined && entry.head !== row && !(entry.isOpen ?? !areFolded);
}

/** @param {LogRow} row */
function startEntry(row) {
  return row.level || row.loggedAt ? { head: row, lineCount: 1, chars: row.text.length } : null;
}
