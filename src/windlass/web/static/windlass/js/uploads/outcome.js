// What is told beyond the list: the title of the tab, messages, and a notification when everything has arrived.

import { announce, query, toast } from "../dom.js";
import { count } from "../format.js";
import { percentOf } from "./texts.js";
import { State } from "./upload.js";

const WORTH_NOTIFYING = 10; // seconds that uploads still take

export class Outcome {
  #title = document.title;
  #told = 0; // uploads that had arrived when the end was told, the last time
  #failures = 0; // since then

  constructor() {
    query("#notify").addEventListener("click", async () => {
      await Notification.requestPermission();
      query("#notify").hidden = true;
    });
  }

  /** `totals` are the figures of all uploads now. */
  update(totals) {
    const busy = Boolean(totals.counts[State.SENDING] || totals.counts[State.WAITING]);
    const percent = percentOf({ sent: totals.sent, size: totals.bytes });
    document.title = busy ? `${percent} % · ${totals.done} of ${totals.files} · ${this.#title}` : this.#title;
    const mayAsk = "Notification" in window && Notification.permission === "default";
    query("#notify").hidden = !(busy && mayAsk && totals.secondsLeft > WORTH_NOTIFYING);
    if (!busy && (totals.done !== this.#told || this.#failures)) this.#tellEnd(totals.done);
  }

  /** An upload was given up. */
  noteFailure() {
    this.#failures += 1;
  }

  #tellEnd(done) {
    const arrived = done - this.#told, wrong = this.#failures; // fewer where the list was cleared
    this.#told = done;
    this.#failures = 0;
    const text = [arrived > 0 && `${count(arrived, "file")} uploaded.`, wrong && `${count(wrong, "file")} not uploaded.`].filter(Boolean).join(" ");
    if (!text) return;
    toast(text, { kind: wrong ? "bad" : "good" });
    if (document.hidden && "Notification" in window && Notification.permission === "granted") {
      new Notification("Windlass", { body: text, tag: "windlass-uploads" });
    }
  }

  /** Files that were refused as soon as they were chosen. */
  tellRefusals(uploads) {
    const refused = uploads.filter(({ state }) => state === State.REFUSED);
    if (refused.length === 1) toast(`${refused[0].name}: ${refused[0].reason}`, { kind: "bad", seconds: 10 });
    else if (refused.length) toast(`${count(refused.length, "file")} cannot be uploaded. The list says why.`, { kind: "bad", seconds: 10 });
    const taken = uploads.length - refused.length;
    if (taken) announce(`${count(taken, "file")} added to the uploads.`);
  }

  /** A result of processing: only what is wrong needs words beside the row. */
  tellResult({ state, name, reason }) {
    if (state === State.REJECTED) toast(`${name}: ${reason}`, { kind: "bad", seconds: 10 });
  }
}
