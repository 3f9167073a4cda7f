// Send one file: as one upload, or in parts if it is large and one connection turns out to be slow.

import { knownConnections } from "./connections.js";
import { PartsTransfer, isWorthParts, mayGain, newParts } from "./parallel.js";
import { RangeTransfer, newRange } from "./range_transfer.js";
import { terminate } from "./tus.js";

/** What one connection must have done before its rate is believed: requests, and milliseconds. */
const PIECES = 2, MEASURING = 1000;

/** How a file is sent, as a plain value that a later page continues: one range, or parts. */
export const newPlan = (size) =>
  (mayGain(size) && knownConnections() > 1 ? { parts: newParts(size) } : { whole: newRange(0, size) });

export const sentOf = ({ whole, parts }) => (parts ?? [whole]).reduce((sum, range) => sum + range.sent, 0);

/** End what the server has of it. Never throws: what remains expires by itself. */
export function discardPlan({ whole, parts }, options = {}) {
  const urls = (parts ?? [whole]).map(({ url }) => url).filter(Boolean);
  return Promise.all(urls.map((url) => terminate(url, { signIn: false, ...options }).catch(() => {})));
}

/**
 * Send a file and return the path of its record. `plan` is changed as it goes, and `onChange(saved)` called: `saved` if
 * a later page must know. `isAlone()`: whether no other file is being sent; others use the link well enough.
 */
export async function sendFile({ file, plan, metadata, retries, onChange, onRestart, isAlone, signal }) {
  const options = { file, metadata, retries, onChange, onRestart };
  if (plan.whole) {
    const trial = new Trial(file.size, plan.whole, isAlone, signal);
    try {
      return await new RangeTransfer({ ...options, range: plan.whole, onPiece: (rate) => trial.note(rate) }).run(trial.signal);
    } catch (error) {
      if (!trial.choseParts || signal.aborted) throw error;
    }
    discardPlan({ whole: { ...plan.whole } });
    plan.whole = null;
    plan.parts = newParts(file.size);
    onChange(true);
  }
  return new PartsTransfer({ ...options, parts: plan.parts }).run(signal);
}

/** Looks at the first requests of one connection; its signal ends the transfer where parts are worth a try. */
class Trial {
  #began = performance.now();
  #pieces = 0;
  #isOpen;
  #abort = new AbortController();

  constructor(size, whole, isAlone, signal) {
    Object.assign(this, { size, whole, isAlone });
    this.signal = AbortSignal.any([signal, this.#abort.signal]);
    this.#isOpen = mayGain(size) && !whole.received;
  }

  get choseParts() {
    return this.#abort.signal.aborted;
  }

  /** A request has been answered: once there were some, decide. */
  note(bytesPerSecond) {
    this.#pieces += 1;
    if (!this.#isOpen || this.#pieces < PIECES || performance.now() - this.#began < MEASURING) return;
    this.#isOpen = false;
    if (this.isAlone() && isWorthParts(this.size - this.whole.received, bytesPerSecond)) this.#abort.abort();
  }
}
