// Calls of the HTTP API with the visitor's session, for every page.

const page = document.documentElement.dataset;

/** The path of an API call on this server: a proxy may serve Windlass below a prefix. */
export const urlOf = (path) => page.root + path;

/** A reply with an error status. `problem` is its problem document (RFC 9457), or null where the body is another. */
export class Problem extends Error {
  constructor(status, problem, retryAfter) {
    super(problem?.detail ?? problem?.title ?? `The server answered ${status}.`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter; // seconds, or null
  }

  /** Whether the same request can succeed later. */
  get isTransient() {
    return [408, 409, 423, 425, 429].includes(this.status) || this.status >= 500;
  }
}

/** No reply: the network or the server is away. */
export class Unreachable extends Error {
  constructor(cause) {
    super("The server does not answer.", { cause });
  }

  isTransient = true;
  retryAfter = null;
}

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);
export const csrfToken = () => document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1];

/**
 * Send a request and return its Response.
 *
 * `query` is an object of query parameters, of which empty ones are left out; `json` is a value for the body.
 * Throws Problem for an error status and Unreachable without a reply. 401 leads to the sign-in page, unless `signIn` is false.
 */
export async function call(method, path, { json, body, headers, signal, query, keepalive, signIn = true } = {}) {
  const sent = new Headers(headers);
  const csrf = csrfToken();
  if (csrf && !SAFE.has(method)) sent.set("X-CSRFToken", csrf);
  if (json !== undefined) {
    sent.set("Content-Type", "application/json");
    body = JSON.stringify(json);
  }
  let response;
  try {
    response = await fetch(withQuery(path, query), { method, body, headers: sent, signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable(error);
  }
  if (response.ok) return response;
  if (response.status === 401 && signIn) goToSignIn();
  throw await problemOf(response);
}

export const getJson = async (path, query, signal) => (await call("GET", path, { query, signal })).json();

/** Send a JSON value; returns the value of the reply, or null where it has none. */
export async function sendJson(method, path, json, options = {}) {
  const response = await call(method, path, { json, ...options });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export function goToSignIn() {
  if (!page.signIn) return;
  const next = location.pathname + location.search + location.hash;
  location.assign(`${page.signIn}?next=${encodeURIComponent(next)}`);
}

function withQuery(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(given)}` : path;
}

async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  return new Problem(response.status, problem, Number.isFinite(seconds) ? seconds : null);
}
