/** Path below which a proxy serves this server. */

/** @type {string} the part of this file's address before `/static/`, the same in the page and in its worker. */
export const ROOT_PATH =
  /^(.*)\/static\/[0-9a-f]{16}\//.exec(new URL(import.meta.url).pathname)?.[1] ?? "";
