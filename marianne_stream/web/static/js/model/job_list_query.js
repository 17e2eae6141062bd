/** Filter and sort of the job list, as they stand in the address. */

import { SORTS } from "./job_sections.js";
import { LIST_URL } from "./page_urls.js";
import { TONES } from "./status.js";

/** @typedef {import("./job_sections.js").Sort} Sort */
/** @typedef {import("./job_sections.js").SortKey} SortKey */
/** @typedef {import("./status.js").Tone} Tone */
/** @typedef {{tone: Tone | "", name: string, sort: Sort | null}} JobListQuery */

/**
 * Parse the query of an address: `?status=failed&name=tide&sort=duration&order=ascending`.
 *
 * @param {string} text
 * @returns {JobListQuery}
 */
export function parseJobListQuery(text) {
  const query = new URLSearchParams(text);
  return {
    tone: TONES.find((tone) => tone === query.get("status")) ?? "",
    name: query.get("name") ?? "",
    sort: parseSort(query.get("sort"), query.get("order")),
  };
}

/**
 * Return the address of a job list.
 *
 * @param {JobListQuery} list
 */
export function formatJobListUrl({ tone, name, sort }) {
  const query = new URLSearchParams();
  if (tone) query.set("status", tone);
  if (name) query.set("name", name);
  if (sort) {
    query.set("sort", sort.key);
    if (sort.isAscending !== SORTS[sort.key].isAscending) {
      query.set("order", sort.isAscending ? "ascending" : "descending");
    }
  }
  const text = query.toString();
  return text ? `${LIST_URL}?${text}` : LIST_URL;
}

/**
 * Return the sort after a click on a column: first its own direction, then the other, then none.
 *
 * @param {Sort | null} sort
 * @param {SortKey} key
 * @returns {Sort | null}
 */
export function nextSort(sort, key) {
  const { isAscending } = SORTS[key];
  if (sort?.key !== key) return { key, isAscending };
  return sort.isAscending === isAscending ? { key, isAscending: !isAscending } : null;
}

/**
 * @param {string | null} key
 * @param {string | null} order
 * @returns {Sort | null}
 */
function parseSort(key, order) {
  if (key === null || !Object.hasOwn(SORTS, key)) return null;
  const known = /** @type {SortKey} */ (key);
  const isAscending = order === null ? SORTS[known].isAscending : order === "ascending";
  return { key: known, isAscending };
}
