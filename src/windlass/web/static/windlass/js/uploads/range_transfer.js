// Send a range of a file's bytes into one upload of the server: the whole file, or a part of it.

import { Problem, Unreachable } from "../api.js";
import { append, createUpload, readProgress } from "./tus.js";

/** Files up to this size travel with the request that creates the upload. */
const SENT_AT_ONCE = 2 ** 18;
/**
 * Bytes of one PATCH. It takes about a second, because the reply is what tells how much has arrived: what has left the
 * browser may be in buffers on the way, which hold many megabytes.
 */
const SHORTEST_BODY = 2 ** 20, LONGEST_BODY = 2 ** 26;
const QUICK = 700, SLOW = 2000; // milliseconds
const MOST_RESTARTS = 3;

/** The device does not give the bytes: the file was changed, moved or deleted since it was chosen. */
export class FileUnreadable extends Error {
  constructor() {
    super("This device cannot read the file any more: it was changed, moved or deleted. Choose it again.");
  }
}

/**
 * A new range: `key` makes its creation safe to repeat, also by a later page; `url` is set once it exists. `received` are
 * the bytes that the server has, `sent` also those on their way.
 */
export const newRange = (start, end) => ({ start, end, key: newKey(), url: null, received: 0, sent: 0 });

/** A random UUID. crypto.randomUUID exists only in secure contexts, and a server in a local network may have no TLS. */
export function newKey() {
  const random = [...crypto.getRandomValues(new Uint8Array(16))];
  random[6] = (random[6] & 0x0f) | 0x40;
  random[8] = (random[8] & 0x3f) | 0x80;
  const hex = random.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/**
 * `range` is changed as it goes. `onChange(saved)` is called then; `saved` if a later page should know.
 * `onPiece(bytesPerSecond)` is called with the rate of each request that has been answered, and `onRestart()` where the
 * server no longer has the upload, so that it begins anew.
 */
export class RangeTransfer {
  #offset = null; // only the server knows it until it has said so, and after every failure
  #length;
  #bodySize = SHORTEST_BODY;
  #longestBody = LONGEST_BODY; // less behind a proxy that refuses longer ones
  #restarts = 0;

  constructor({ file, range, metadata, partial = false, retries, onChange, onPiece, onRestart }) {
    Object.assign(this, { file, range, metadata, partial, retries, onChange, onPiece, onRestart });
    this.#length = range.end - range.start;
  }

  /** Send until the server has every byte. Returns the path of the file record; null for a partial upload. */
  async run(signal) {
    for (;;) {
      const reply = await this.retries.run(() => this.#attempt(signal), signal);
      if (reply && this.#offset >= this.#length) return reply.file;
    }
  }

  async #attempt(signal) {
    try {
      return await this.#request(signal);
    } catch (error) {
      this.#offset = null;
      if (error instanceof Unreachable) await this.#requireReadable();
      if (!(error instanceof Problem)) throw error;
      if ([404, 410].includes(error.status) && this.#restarts < MOST_RESTARTS) return this.#restart();
      if (this.#isRefusedByProxy(error)) return this.#shortenBodies();
      throw error;
    }
  }

  async #request(signal) {
    if (!this.range.url) return this.#create(signal);
    if (this.#offset === null) return this.#noteProgress(await readProgress(this.range.url, signal));
    return this.#append(this.#offset, signal);
  }

  async #append(offset, signal) {
    const from = this.range.start + offset, began = performance.now();
    const size = Math.min(this.#bodySize, this.#longestBody, this.#length - offset);
    const onSent = (bytes) => {
      this.range.sent = offset + Math.min(bytes, size);
      this.onChange(false);
    };
    const reply = await append(this.range.url, offset, this.file.slice(from, from + size), { signal, onSent });
    const took = performance.now() - began;
    if (took < QUICK) this.#bodySize = Math.min(LONGEST_BODY, this.#bodySize * 2);
    else if (took > SLOW) this.#bodySize = Math.max(SHORTEST_BODY, this.#bodySize / 2);
    this.onPiece((size * 1000) / took);
    return this.#noteProgress(reply);
  }

  async #create(signal) {
    const { range, metadata, partial } = this;
    const body = !partial && this.#length > 0 && this.#length <= SENT_AT_ONCE ? this.file : null;
    const reply = await createUpload({ size: this.#length, metadata, key: range.key, partial, body, signal });
    range.url = reply.url;
    const offset = reply.offset ?? (reply.file ? this.#length : 0);
    return reply.isRepeated && !reply.file ? this.onChange(true) : this.#noteProgress({ ...reply, offset });
  }

  #noteProgress(reply) {
    if (reply.offset > (this.#offset ?? 0)) this.retries.succeeded();
    this.#offset = reply.offset;
    this.range.received = this.range.sent = reply.offset;
    this.onChange(true);
    return reply;
  }

  /** The upload expired or was deleted. */
  #restart() {
    this.#restarts += 1;
    const hadBytes = this.range.received > 0;
    Object.assign(this.range, newRange(this.range.start, this.range.end));
    if (hadBytes) this.onRestart();
    this.onChange(true);
  }

  /** A request fails in the same way whether the network or the file is the reason. */
  async #requireReadable() {
    const from = this.range.start + Math.min(this.range.received, Math.max(0, this.#length - 1));
    await this.file.slice(from, from + 1).arrayBuffer().catch(() => { throw new FileUnreadable(); });
  }

  #isRefusedByProxy({ status, problem }) {
    return status === 413 && !problem && this.#longestBody > SHORTEST_BODY;
  }

  #shortenBodies() {
    this.#longestBody = Math.max(SHORTEST_BODY, Math.min(this.#longestBody, this.#bodySize) / 2);
  }
}
