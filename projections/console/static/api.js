// Requests to this server. The token is in a cookie that no script reads.

/** An answer that is no success; `title` is the name of the error. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

/** Return the JSON of an answer; raise Problem where it is none of success. */
export async function ask(method, path, { query = {}, body, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
  }
  const request = { method, signal, headers: { accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(url, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "Unreachable", "the server does not answer");
  }
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, value.title ?? String(answer.status), value.detail);
  return value;
}

/** Return the path of a rule's routes. */
export function rulePath(id, rest = "") {
  return `/v1/rules/${encodeURIComponent(id)}${rest}`;
}

/** Call `take` with each event as it is appended, until `signal` is aborted; connects again. */
export function follow(query, take, state, signal) {
  const url = new URL("/v1/events/live", location.origin);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.append(name, value);
  const source = new EventSource(url);
  source.onopen = () => state("live");
  source.onerror = () => state(source.readyState === EventSource.CLOSED ? "ended" : "connecting");
  source.onmessage = (message) => take(JSON.parse(message.data));
  source.addEventListener("problem", (message) => {
    source.close();
    state("ended", JSON.parse(message.data).detail);
  });
  signal.addEventListener("abort", () => source.close());
}
