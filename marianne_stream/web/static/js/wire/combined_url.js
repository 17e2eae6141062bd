/** URL of a combined stream, whose length and number of parts are limited. */

import { ROOT_PATH } from "../root_path.js";

/** Limit of the server. */
const MAX_PARTS = 32;

/** Proxies reject longer request lines than 8 KiB. */
const MAX_URL_CHARS = 7_500;

/** Length up to which new parts are added: cursors may grow. */
const FULL_URL_CHARS = 7_000;

/** Room for a cursor that is not known yet. */
const CURSOR_CHARS = 100;

/** @typedef {{name: string, cursor: string}} RequestedPart with "" for a cursor that is not known. */

/** @param {RequestedPart[]} parts */
export function makeUrl(parts) {
  const query = new URLSearchParams();
  for (const { name } of parts) query.append("part", name);
  for (const [index, { cursor }] of parts.entries()) {
    if (cursor) query.append("cursor", `${index + 1},${cursor}`);
  }
  return `${ROOT_PATH}/api/stream?${query}`;
}

/** @param {RequestedPart[]} parts */
export function isUrlTooLong(parts) {
  return makeUrl(parts).length > MAX_URL_CHARS;
}

/**
 * Return true if parts fit into one stream, also after their cursors have grown.
 *
 * @param {RequestedPart[]} parts
 */
export function fitIntoUrl(parts) {
  const reserve = "x".repeat(CURSOR_CHARS);
  const guessed = parts.map(({ name, cursor }) => ({ name, cursor: cursor || reserve }));
  return parts.length <= MAX_PARTS && makeUrl(guessed).length <= FULL_URL_CHARS;
}
