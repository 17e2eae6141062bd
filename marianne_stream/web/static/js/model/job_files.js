/** Files of a job's workspace: addresses in the fragment of the page, links between files, kinds. */

/**
 * @typedef {object} FileEntry entry of `/files`.
 * @property {string} path
 * @property {string} url_path percent-encoded.
 * @property {string} kind `folder`, `text`, `markdown`, `json`, `image` or `other`.
 * @property {number | null} size_bytes
 * @property {string} modified_at ISO 8601.
 * @property {number[]} sheets numbers of the sheets that ran when the file changed.
 */

/** @typedef {{urlPath: string, lines: string}} FileAddress `urlPath` is "" for the list of files. */

/** Kinds by the endings of names, for files that are not in the list. */
const KINDS = [
  { kind: "markdown", endings: /\.(?:md|markdown)$/i },
  { kind: "json", endings: /\.json$/i },
  { kind: "image", endings: /\.(?:png|jpe?g|gif|webp|avif)$/i },
];

/**
 * Parse the fragment `#files`, or `#file=a/b.txt&L6-L9.3f9a01c4` with lines of a file.
 *
 * @param {string} fragment
 * @returns {FileAddress | null} null if it does not name files.
 */
export function parseFileFragment(fragment) {
  if (fragment === "#files") return { urlPath: "", lines: "" };
  const match = /^#file=([^&]+)(?:&(.*))?$/.exec(fragment);
  return match ? { urlPath: normalizePath(match[1]), lines: match[2] ? `#${match[2]}` : "" } : null;
}

/**
 * Spell a path as the server does, so that it cannot lead out of the workspace.
 *
 * @param {string} path percent-encoded or not.
 * @returns {string} "" if it has a name that is empty, `.` or `..`, or has a slash.
 */
function normalizePath(path) {
  const names = path.split("/").map(normalizeName);
  return names.includes("") ? "" : names.join("/");
}

/** @param {string} encoded */
function normalizeName(encoded) {
  let name;
  try {
    name = decodeURIComponent(encoded);
  } catch {
    // Bytes that are not UTF-8 stay as they are encoded.
    return encoded.replace(/[?#&\\]/g, encodeURIComponent);
  }
  if (name === "." || name === ".." || name.includes("/")) return "";
  return encodeURIComponent(name).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * @param {string} urlPath "" for the list.
 * @param {string} [lines] fragment that names lines.
 */
export function fileFragment(urlPath, lines = "") {
  return urlPath ? `#file=${urlPath}${lines.replace("#", "&")}` : "#files";
}

/**
 * Return the path of a file for people.
 *
 * @param {string} urlPath
 */
export function decodePath(urlPath) {
  try {
    return decodeURIComponent(urlPath);
  } catch {
    return urlPath;
  }
}

/**
 * Return the path that a relative link in a file leads to.
 *
 * @param {string} urlPath of the file.
 * @param {string} href percent-encoded.
 * @returns {string} percent-encoded; "" if it leads out of the workspace.
 */
export function resolveFileLink(urlPath, href) {
  const [path] = href.split(/[?#]/, 1);
  const segments = urlPath.split("/").slice(0, -1);
  for (const segment of path.split("/")) {
    if (segment === "..") {
      if (segments.pop() === undefined) return "";
    } else if (segment && segment !== ".") segments.push(segment);
  }
  return normalizePath(segments.join("/"));
}

/** @param {string} urlPath */
export function guessKind(urlPath) {
  return KINDS.find(({ endings }) => endings.test(urlPath))?.kind ?? "text";
}

/**
 * Return the files whose path contains a text, in any case; no folders.
 *
 * @param {FileEntry[]} entries
 * @param {string} text
 */
export function filterFiles(entries, text) {
  const wanted = text.trim().toLowerCase();
  return entries.filter(
    ({ kind, path }) => kind !== "folder" && path.toLowerCase().includes(wanted),
  );
}

/** Text that is nested deeper would grow by the square of its depth. */
const MAX_JSON_DEPTH = 100;

const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s"[\]{}:,]+/g;

/**
 * Indent a JSON text. Numbers stay as they are written, whatever their size.
 *
 * @param {string} text
 * @returns {string} "" if it is not JSON, or is nested too deeply.
 */
export function indentJson(text) {
  try {
    JSON.parse(text);
  } catch {
    return "";
  }
  let depth = 0;
  let before = "";
  let indented = "";
  const newLine = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(TOKENS)) {
    const closes = token === "]" || token === "}";
    if (closes) depth -= 1;
    const isInside = before === "[" || before === "{";
    if (before === "," || (isInside ? !closes : closes)) indented += newLine();
    indented += token === ":" ? ": " : token;
    if (token === "[" || token === "{") depth += 1;
    if (depth > MAX_JSON_DEPTH) return "";
    before = token;
  }
  return indented;
}
