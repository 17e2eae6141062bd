/** The API's addresses and answers. It must not know what is done with them. */

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

/** A path with its parameters; those that are null, false or empty are left out. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "" && value !== false) {
      query.set(name, value);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Asks for JSON.
 *
 * @throws {ApiError} the answer is an error.
 */
export async function getJson(path, { signal } = {}) {
  const answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
  if (answer.ok) return answer.json();
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // A proxy's own page: its status is all that it says.
  }
  throw new ApiError(
    answer.status,
    told.code ?? "",
    told.detail ?? `The server answered ${answer.status}.`,
  );
}
