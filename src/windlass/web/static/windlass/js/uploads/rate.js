// How fast bytes are sent, as a person wants to see it: over the last seconds, and without jumps.

const WINDOW_SECONDS = 8;

export class RateMeter {
  #samples = []; // [milliseconds, bytes so far]

  /** Note how many bytes have been sent in all. The count falls if an upload starts anew. */
  note(bytes, at = performance.now()) {
    const last = this.#samples.at(-1);
    if (last && bytes < last[1]) this.#samples = [];
    if (last && at - last[0] < 100) return;
    this.#samples.push([at, bytes]);
    while (this.#samples.length > 2 && at - this.#samples[0][0] > WINDOW_SECONDS * 1000) this.#samples.shift();
  }

  /** Forget what was measured: after a pause, its time is not to count. */
  reset() {
    this.#samples = [];
  }

  /** Bytes per second; null until there is enough to say. */
  get perSecond() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || last[0] - first[0] < 700) return null;
    return ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
  }

  /** Seconds that so many bytes take at this rate; null if that is not known. */
  secondsFor(bytes) {
    const rate = this.perSecond;
    return rate ? bytes / rate : null;
  }
}
