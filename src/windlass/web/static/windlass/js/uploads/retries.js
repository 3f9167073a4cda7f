// Repeat what failed for a reason that passes: no network, a server that is away, busy or restarting.

import { Problem, Unreachable } from "../api.js";

const FIRST_WAIT = 1, LONGEST_WAIT = 30; // seconds
/** Attempts in a row that the server answers with an error. There is no limit while it is away or says when to come back. */
const MOST_ERRORS = 6;
const FINAL_STATUSES = new Set([501, 507]); // not supported here; no space or no quota left

export const isTransient = (error) =>
  error instanceof Unreachable || (error instanceof Problem && error.isTransient && !FINAL_STATUSES.has(error.status));

/**
 * The waits between attempts of one file's requests. `onWait({error, until})` is called when one begins, and with null
 * when it ends: by its time, by `wake()`, by the network coming back, or by the signal, which throws at once.
 */
export class Retries {
  #waits = 0;
  #errors = 0;
  #wakes = new Set();

  constructor(onWait) {
    this.onWait = onWait;
  }

  async run(work, signal) {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        if (!isTransient(error) || this.#isEnough(error)) throw error;
        await this.#wait(error, signal);
      }
    }
  }

  /** Bytes have arrived: the next failure is the first again. */
  succeeded() {
    this.#waits = this.#errors = 0;
  }

  /** Try now. */
  wake() {
    for (const wake of this.#wakes) wake();
  }

  #isEnough(error) {
    this.#errors = error instanceof Problem && error.retryAfter === null ? this.#errors + 1 : 0;
    return this.#errors >= MOST_ERRORS;
  }

  async #wait(error, signal) {
    const seconds = error.retryAfter ?? Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#waits);
    this.#waits += 1;
    this.onWait({ error, until: Date.now() + seconds * 1000 });
    try {
      await this.#pause(seconds, error instanceof Unreachable, signal);
    } finally {
      this.onWait(null);
    }
  }

  #pause(seconds, isNetwork, signal) {
    return new Promise((resolve, reject) => {
      const ended = new AbortController(); // removes the listeners
      const end = (settle) => {
        clearTimeout(timer);
        ended.abort();
        this.#wakes.delete(wake);
        settle();
      };
      const wake = () => end(resolve);
      const timer = setTimeout(wake, seconds * 1000);
      this.#wakes.add(wake);
      signal.addEventListener("abort", () => end(() => reject(signal.reason)), { signal: ended.signal });
      if (isNetwork) addEventListener("online", wake, { signal: ended.signal });
      if (signal.aborted) end(() => reject(signal.reason));
    });
  }
}
