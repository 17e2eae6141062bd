/** Choices of the reader, kept in the browser's local storage if it can be used. */

import { ROOT_PATH } from "../root_path.js";

/**
 * Return the key of a value of this server: servers below other paths use the same storage.
 *
 * @param {string} key
 */
export function serverKey(key) {
  return ROOT_PATH ? `${key} ${ROOT_PATH}` : key;
}

/**
 * Load a value; the default if there is none.
 *
 * @template T
 * @param {string} key
 * @param {T} defaultValue
 * @returns {T}
 */
export function load(key, defaultValue) {
  try {
    const text = localStorage.getItem(key);
    return text === null ? defaultValue : JSON.parse(text);
  } catch {
    // Storage is disabled, or the value is not JSON.
    return defaultValue;
  }
}

/**
 * Save a value.
 *
 * @param {string} key
 * @param {unknown} value
 */
export function save(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is disabled or full: the choice lasts as long as the page.
  }
}
