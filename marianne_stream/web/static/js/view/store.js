/** What one chose, kept from visit to visit, where the browser keeps anything at all. */

/** What was kept under a key, as it was; else something else. */
export function recall(key, otherwise) {
  try {
    const text = localStorage.getItem(key);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    // It may not be read, or was written by somebody else.
    return otherwise;
  }
}

/** Keeps a value under a key. */
export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // It holds for this visit.
  }
}
