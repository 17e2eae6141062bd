/** Keyboard shortcuts of a log view. */

/** @typedef {import("./shortcuts.js").Shortcut} Shortcut */

/**
 * @typedef {object} LogActions
 * @property {() => void} goToEnd
 * @property {() => void} goToStart
 * @property {() => void} openJump shows the field for a time.
 * @property {() => void} toggleFollowing
 */

/**
 * Make the shortcuts of a log view.
 *
 * @param {LogActions} actions
 * @param {object} parts
 * @param {import("./virtual_log.js").VirtualLog} parts.rows
 * @param {import("./log_search_bar.js").LogSearchBar} [parts.search]
 * @param {import("./log_controls.js").LogControls} parts.controls
 * @param {import("./log_selector.js").LogSelector} parts.selector
 * @returns {Shortcut[]}
 */
export function makeLogShortcuts(actions, { rows, search, controls, selector }) {
  return [
    { key: "j", label: "Next line", run: () => selector.step(1) },
    { key: "k", label: "Previous line", run: () => selector.step(-1) },
    {
      key: "Enter",
      label: "Open or close a line: its fields, its entry, the rest of it",
      run: () => rows.toggleCurrent(),
    },
    { key: "x", label: "Select the line", run: () => selector.select(rows.current) },
    { key: "X", label: "Extend the selection to the line", run: () => selector.extend() },
    { key: " ", label: "Page down; with Shift, page up", run: (event) => rows.page(event) },
    ...(search ? makeSearchShortcuts(search) : []),
    { key: "f", label: "Follow new lines", run: () => actions.toggleFollowing() },
    { key: "g", label: "Start of the log", run: () => actions.goToStart() },
    { key: "G", label: "End of the log", run: () => actions.goToEnd() },
    { key: "d", label: "Go to a date and time", run: () => actions.openJump() },
    { key: "e", label: "Fold or open all entries", run: () => controls.toggle("fold") },
    { key: "w", label: "Wrap long lines", run: () => controls.toggle("wrap") },
    { key: "s", label: "Show times", run: () => controls.toggle("times") },
    { key: "c", label: "Copy the selected lines", run: () => selector.copy() },
    { key: "Escape", label: "Clear the selection", run: () => selector.select(NaN) },
  ];
}

/** @param {import("./log_search_bar.js").LogSearchBar} search */
function makeSearchShortcuts(search) {
  return [
    { key: "/", label: "Search the whole log", run: () => search.input.focus() },
    { key: "n", label: "Next match, towards the start of the log", run: () => search.step(1) },
    { key: "N", label: "Previous match, towards its end", run: () => search.step(-1) },
    { key: "m", label: "Show matches only", run: () => search.toggleFilter() },
  ];
}
