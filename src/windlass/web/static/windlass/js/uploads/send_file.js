// Send one file: as one upload, or in parts if it is large and one connection turns out to be slow.

import { PartsTransfer, isWorthParts, knownConnections, mayGain, newParts } from "./parallel.js";
import { RangeTransfer, newRange } from "./range_transfer.js";
import { terminate } from "./tus.js";

const TRIAL = 1500; // milliseconds in which one connection shows how fast it is

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
      return await new RangeTransfer({ ...options, range: plan.whole }).run(trial.signal);
    } catch (error) {
      if (!trial.choseParts || signal.aborted) throw error;
    } finally {
      trial.end();
    }
    discardPlan({ whole: { ...plan.whole } });
    plan.whole = null;
    plan.parts = newParts(file.size);
    onChange(true);
  }
  return new PartsTransfer({ ...options, parts: plan.parts }).run(signal);
}

/** Watches the first seconds of one connection; its signal ends the transfer where parts are worth a try. */
class Trial {
  #timer = null;
  #abort = new AbortController();

  constructor(size, whole, isAlone, signal) {
    this.signal = AbortSignal.any([signal, this.#abort.signal]);
    if (!mayGain(size) || whole.sent) return;
    let from = null;
    this.#timer = setInterval(() => {
      if (from === null) from = whole.sent || null; // count from the first bytes: creating the upload takes a while
      else {
        this.end();
        const rate = ((whole.sent - from) * 1000) / TRIAL;
        if (rate > 0 && isAlone() && isWorthParts(size, whole.sent, rate)) this.#abort.abort();
      }
    }, TRIAL);
  }

  get choseParts() {
    return this.#abort.signal.aborted;
  }

  end() {
    clearInterval(this.#timer);
  }
}
