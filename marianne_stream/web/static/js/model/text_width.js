/** Width of text in a monospaced font, in columns. */

// Wide characters of East Asian scripts, and emoji (Unicode, East Asian Width W and F).
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\ud83c-\ud83e][\udc00-\udfff]/g;

/**
 * Return true if a text takes more columns than a limit.
 *
 * @param {string} text
 * @param {number} columns
 */
export function isWiderThan(text, columns) {
  if (text.length > columns) return true;
  if (2 * text.length <= columns) return false;
  return text.length + (text.match(WIDE)?.length ?? 0) > columns;
}
