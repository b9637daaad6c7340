// The JSON API: one way to ask, one form of error, and jobs that are watched while they run.

/** An answer that is no success. `what` went wrong, what was `expected`, what to `action` (do) about it. */
export class ApiError extends Error {
  constructor(status, { what, expected, do: action } = {}, retryAfter = 0) {
    super(what);
    Object.assign(this, { status, what, expected, action, retryAfter });
  }
}

const UNREACHABLE = {
  what: "The server does not answer",
  do: "Look whether `wav2clip serve` is still running, start it again if need be, and try again.",
};
const LOCKED = {
  what: "This server asks for its token",
  do: "Open the address that `wav2clip serve` printed when it started; it ends in ?token=...",
};

/**
 * Ask the API. `query` is anything URLSearchParams takes; `json` or `body` makes it a POST; `blob`
 * takes the answer as bytes.
 * Throws ApiError, or an AbortError where `signal` was aborted.
 */
export async function request(path, { query, json, body, method, signal, blob = false, headers = {} } = {}) {
  const address = new URL(path, document.baseURI);
  if (query) address.search = new URLSearchParams(query);
  const options = { method: method ?? (json || body ? "POST" : "GET"), signal, headers: { ...headers } };
  if (json) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  } else if (body) {
    options.body = body;
  }
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
  if (response.ok && blob) return response.blob();
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && answer !== null) return answer;
  throw problem(response, answer?.detail);
}

function problem(response, detail) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  if (response.status === 401) return new ApiError(401, LOCKED);
  if (detail?.what) return new ApiError(response.status, detail, wait);
  return new ApiError(response.status, { what: `The server answered with status ${response.status}` }, wait);
}

export const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** Ask, and where the server is busy (429) wait as long as it says, up to `tries` times. */
export async function patiently(path, options = {}, tries = 4) {
  for (let left = tries; ; left -= 1) {
    try {
      return await request(path, options);
    } catch (error) {
      if (error.status !== 429 || left <= 1 || options.signal?.aborted) throw error;
      await pause(Math.min(error.retryAfter || 1, 10));
    }
  }
}

export const running = (job) => job.state === "queued" || job.state === "running";

/**
 * Follow a job by server-sent events until it ends. `onPreview` gets the address of each picture
 * on the way. Resolves with the job as it ended; throws ApiError where it cannot be followed.
 */
export function follow(job, onChange, onPreview = () => {}) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(new URL(`api/jobs/${job.id}/events`, document.baseURI));
    const update = (latest) => {
      onChange(latest);
      if (running(latest)) return;
      source.close();
      resolve(latest);
    };
    const hear = (event) => update(JSON.parse(event.data));
    source.addEventListener("message", hear);
    source.addEventListener("job", hear);
    source.addEventListener("preview", (event) => onPreview(address(event.data)));
    source.addEventListener("error", async () => {
      if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
      try {
        update(await request(`api/jobs/${job.id}`));
        await pause(2);
        if (source.readyState === EventSource.CLOSED) follow(job, onChange, onPreview).then(resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** A preview comes as a bare address, or as JSON that holds one. */
function address(data) {
  if (!data.startsWith("{") && !data.startsWith('"')) return data;
  const parsed = JSON.parse(data);
  return typeof parsed === "string" ? parsed : parsed.url;
}

export const cancel = (job) => request(`api/jobs/${job.id}`, { method: "DELETE" });
