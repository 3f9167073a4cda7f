// Send a large file in parts over several connections at once (tus concatenation), where that is faster. Each connection
// of a long or lossy way to the server is slower than the link; then two to four together fill it.

import { Problem } from "../api.js";
import { findConnections, knownConnections, rememberConnections } from "./connections.js";
import { RangeTransfer, newKey, newRange } from "./range_transfer.js";
import { concatenate, readProgress, terminate } from "./tus.js";

const SMALLEST_FILE = 64 * 2 ** 20, SMALLEST_PART = 16 * 2 ** 20; // bytes
const MOST_PARTS = 16; // each counts as an open upload, and as a call of the rate limit
const LONG_TRANSFER = 10; // seconds that a file must still take to be worth a trial
/** Requests of each connection that are awaited before rates are compared; the rate is that of the last. */
const PIECES = 2, LOOK_EVERY = 100; // milliseconds
const MOST_JOINS = 3;

/** Whether a file that is sent alone may gain from parts, by what is known before a byte of it is sent. */
export const mayGain = (size) => size >= SMALLEST_FILE && knownConnections() !== 1;

/** Whether to begin anew in parts: one connection has shown its rate (bytes per second), and much is left. */
export const isWorthParts = (left, rate) => rate > 0 && left / rate > LONG_TRANSFER;

/** The parts of a file, as a later page continues them. */
export function newParts(size) {
  const length = Math.max(SMALLEST_PART, Math.ceil(size / MOST_PARTS));
  return Array.from({ length: Math.ceil(size / length) }, (_, n) => newRange(n * length, Math.min(size, (n + 1) * length)));
}

export class PartsTransfer {
  #waiting;
  #connections = new Set(); // {pieces, rate} of each: requests so far, and bytes per second of the last

  constructor({ file, parts, metadata, retries, onChange, onRestart }) {
    Object.assign(this, { file, parts, metadata, retries, onChange, onRestart });
  }

  /** Returns the path of the file record. */
  async run(signal) {
    for (let joins = 1; ; joins += 1) {
      await this.#sendParts(signal);
      try {
        return await this.#join(signal);
      } catch (error) {
        // A part expired meanwhile: sending finds out which, and begins that one anew.
        if (!(error instanceof Problem) || ![404, 410].includes(error.status) || joins === MOST_JOINS) throw error;
      }
    }
  }

  async #sendParts(signal) {
    this.#waiting = [...this.parts];
    const stopped = new AbortController(); // one part has failed: the others need not go on
    const all = AbortSignal.any([signal, stopped.signal]);
    const known = knownConnections();
    const connections = Array.from({ length: known ?? 1 }, () => this.#connect(all));
    if (!known) connections.push(this.#findConnections(all));
    try {
      await Promise.all(connections);
    } finally {
      stopped.abort();
    }
  }

  /** Send one part after the other until none is waiting. A connection that is dropped gives its part back. */
  async #connect(all, drop = new AbortController()) {
    const signal = AbortSignal.any([all, drop.signal]);
    const connection = { pieces: 0, rate: 0 };
    const onPiece = (rate) => Object.assign(connection, { pieces: connection.pieces + 1, rate });
    this.#connections.add(connection);
    try {
      for (let part; (part = this.#waiting.shift());) {
        const { file, metadata, retries, onChange, onRestart } = this;
        const transfer = new RangeTransfer({ file, range: part, metadata, partial: true, retries, onChange, onPiece, onRestart });
        await transfer.run(signal).catch((error) => {
          if (!drop.signal.aborted) throw error;
          this.#waiting.unshift(part);
        });
        if (drop.signal.aborted) return;
      }
    } finally {
      this.#connections.delete(connection);
    }
  }

  /** Add connections as long as each makes the whole faster, and remember how many that were. */
  async #findConnections(all) {
    const added = [];
    const connect = (drop) => {
      if (!this.#waiting.length) return false;
      const connection = this.#connect(all, drop);
      connection.catch(() => {}); // awaited below, unless measuring fails before
      added.push(connection);
      return true;
    };
    const number = await findConnections({ connect, measure: () => this.#measure(all) });
    if (number !== null) rememberConnections(number);
    await Promise.all(added);
  }

  /** Bytes per second of all connections together; null if one of them ended meanwhile. */
  async #measure(signal) {
    const connections = [...this.#connections];
    const until = connections.map(({ pieces }) => pieces + PIECES);
    while (connections.some(({ pieces }, at) => pieces < until[at])) {
      await sleep(LOOK_EVERY, signal);
      if (this.#connections.size !== connections.length) return null;
    }
    return connections.reduce((sum, { rate }) => sum + rate, 0);
  }

  async #join(signal) {
    const urls = this.parts.map(({ url }) => url);
    const key = newKey(); // the same parts are the same upload anyway
    let reply = await this.retries.run(() => concatenate({ urls, metadata: this.metadata, key, signal }), signal);
    const { url } = reply;
    while (!reply.file) { // the server answers after 20 seconds, ready or not
      await sleep(1000, signal);
      reply = await this.retries.run(() => readProgress(url, signal), signal);
    }
    // The server keeps parts for another hour. Nobody needs them, and they take as much space as the file.
    for (const part of urls) terminate(part).catch(() => {});
    return reply.file;
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
    if (signal.aborted) reject(signal.reason);
  });
}
