// The requests of tus 1.0 (https://tus.io/protocols/resumable-upload) that the page makes. Each throws what api.js throws.

import { Problem, Unreachable, call, csrfToken, goToSignIn, urlOf } from "../api.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
/** Seconds without progress. The last bytes may be on their way for long: they are in buffers of the system. */
const LONGEST_SILENCE = 120;
const BYTES = { "Content-Type": "application/offset+octet-stream" };

/**
 * Create an upload of `size` bytes; `body` may have the first of them. Returns {url, offset, file}: `file` is the path
 * of the file record once the upload is complete. `key` makes it safe to repeat: the same upload is returned, `isRepeated`.
 */
export async function createUpload({ size, metadata, key, body = null, partial = false, signal }) {
  const headers = { "Upload-Length": size, "Upload-Metadata": encodeMetadata(metadata) };
  if (partial) headers["Upload-Concat"] = "partial";
  return created(await post({ ...headers, ...(body ? BYTES : {}) }, key, signal, body));
}

/** Make one upload of partial ones, in this order. The server may still be joining them when it answers. */
export async function concatenate({ urls, metadata, key, signal }) {
  const headers = { "Upload-Concat": `final;${urls.join(" ")}`, "Upload-Metadata": encodeMetadata(metadata) };
  return created(await post(headers, key, signal));
}

const post = (headers, key, signal, body) =>
  call("POST", urlOf("/files/"), { headers: { ...VERSION, "Idempotency-Key": key, ...headers }, body, signal });

function created(response) {
  const url = new URL(response.headers.get("Location"), location).pathname;
  const isRepeated = response.headers.has("Idempotency-Replayed");
  return { url, isRepeated, ...progressOf((name) => response.headers.get(name)) };
}

/** How many bytes the server has: {offset, file}. `offset` is null while partial uploads are being joined. */
export async function readProgress(url, signal) {
  const response = await call("HEAD", url, { headers: VERSION, signal });
  return progressOf((name) => response.headers.get(name));
}

export async function terminate(url, options = {}) {
  await call("DELETE", url, { headers: VERSION, ...options });
}

/**
 * Append bytes at an offset. `onSent(bytes)` tells how many of them have left; fetch cannot tell that, so this is XHR.
 * A connection that breaks without a word would hang for minutes: it is given up when the device goes offline, and after
 * a long silence.
 */
export function append(url, offset, body, { signal, onSent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const ended = new AbortController(); // removes the listeners
    let silence = null;
    const end = (settle) => {
      clearTimeout(silence);
      ended.abort();
      settle();
    };
    const giveUp = (reason) => end(() => {
      reject(reason);
      request.abort();
    });
    const hear = () => {
      clearTimeout(silence);
      silence = setTimeout(() => giveUp(new Unreachable()), LONGEST_SILENCE * 1000);
    };
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => giveUp(signal.reason), { signal: ended.signal });
    addEventListener("offline", () => giveUp(new Unreachable()), { signal: ended.signal });
    request.upload.onprogress = ({ loaded }) => { hear(); onSent(loaded); };
    request.onload = () => end(() => (request.status < 300 ? resolve(progressOf((name) => request.getResponseHeader(name))) : reject(problemOf(request))));
    request.onerror = () => end(() => reject(new Unreachable()));
    request.open("PATCH", url);
    const headers = { ...VERSION, ...BYTES, "Upload-Offset": offset, "X-CSRFToken": csrfToken() ?? "" };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    hear();
    request.send(body);
  });
}

function progressOf(header) {
  const offset = header("Upload-Offset");
  return { offset: offset === null ? null : Number(offset), file: header("Windlass-File") };
}

function problemOf(request) {
  if (request.status === 401) goToSignIn();
  const seconds = Number.parseInt(request.getResponseHeader("Retry-After"), 10);
  return new Problem(request.status, parsed(request.responseText), Number.isNaN(seconds) ? null : seconds);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const encodeMetadata = (metadata) =>
  Object.entries(metadata).filter(([, value]) => value).map(([key, value]) => `${key} ${base64(value)}`).join(",");

function base64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}
