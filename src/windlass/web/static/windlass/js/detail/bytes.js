// Parts of a file, read by this page. Nothing is held beyond a limit.

import { call } from "../api.js";
import { bytesOf, renditionOf } from "../files/paths.js";

/**
 * The bytes from..to (exclusive) of a file; null if the server sends no range of it. With `If-Range` the server sends them itself, where it would redirect other requests to its
 * store, which this page's policy does not admit.
 */
export async function readRange(file, from, to) {
  const headers = { Range: `bytes=${from}-${to - 1}`, "If-Range": `"${file.checksum}"` };
  const reply = await call("GET", bytesOf(file.id), { headers });
  if (reply.status === 206) return new Uint8Array(await reply.arrayBuffer());
  await reply.body.cancel();
  return null;
}

/** {text, cut}: the beginning of a text file, decoded as its reply says. */
export async function readText(file, limit) {
  if (!file.size) return { text: "", cut: false };
  const headers = { Range: `bytes=0-${limit - 1}`, "If-Range": `"${file.checksum}"` };
  return decoded(await call("GET", bytesOf(file.id), { headers }), limit, file.size > limit);
}

/** {text, cut}: the beginning of a rendition that is text. */
export async function readRendition(file, { name, size }, limit) {
  return decoded(await call("GET", renditionOf(file.id, name), { headers: { Range: `bytes=0-${limit - 1}`, "If-Range": '"any"' } }), limit, size > limit);
}

async function decoded(reply, limit, cut) {
  const charset = reply.headers.get("Content-Type")?.match(/charset=([\w-]+)/)?.[1] ?? "utf-8";
  const bytes = await readBeginning(reply, limit);
  return { text: decoder(charset).decode(bytes, { stream: cut }), cut }; // a character that is cut off at the end is left out
}

function decoder(charset) {
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}

async function readBeginning(reply, limit) {
  const reader = reply.body.getReader();
  const parts = [];
  let length = 0;
  while (length < limit) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
  }
  reader.cancel().catch(() => {});
  const whole = new Uint8Array(length);
  parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 0);
  return whole.subarray(0, limit);
}
