/** The API's addresses and answers. It must not know what is done with them. */

/** A search looks for two seconds at the most: whoever needs longer for an answer is not there. */
const ANSWER_MS = 20_000;

/** An answer that is an error, in the API's one form. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** A path below a job: `jobPath("a b", "logs")` is `/api/jobs/a%20b/logs`. */
export function jobPath(jobId, ...rest) {
  return ["/api/jobs", encodeURIComponent(jobId), ...rest].join("/");
}

/** A path with its parameters; those that are null, false or empty are left out, lists are repeated. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "" && one !== false) query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Asks for JSON.
 *
 * @throws {ApiError} the answer is an error, or does not come in time.
 */
export async function getJson(path, { signal } = {}) {
  const limit = AbortSignal.timeout(ANSWER_MS);
  const signals = signal ? AbortSignal.any([signal, limit]) : limit;
  let answer;
  try {
    answer = await fetch(path, { signal: signals, headers: { Accept: "application/json" } });
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server does not answer right now.");
  }
  throw await errorOf(answer);
}

/** What the server lacks to show jobs as they are, as sentences; none where nothing is missing. */
export async function missing() {
  try {
    const answer = await fetch("/ready", { signal: AbortSignal.timeout(ANSWER_MS) });
    // 503 has the same fields.
    const { reasons: sentences } = await answer.json();
    return sentences ?? [];
  } catch {
    return ["The server does not answer right now."];
  }
}

async function errorOf(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // A proxy's own page: its status is all that it says.
  }
  const detail = told.detail ?? `The server answered ${answer.status}.`;
  return new ApiError(answer.status, told.code ?? "", detail);
}
