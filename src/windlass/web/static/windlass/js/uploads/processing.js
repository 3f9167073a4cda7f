// What the server does with files that have arrived, step by step, until each has its result.

import { getJson, urlOf } from "../api.js";
import { subscribe } from "../live.js";
import { State } from "./upload.js";

const RESULTS = { READY: State.READY, RELEASED: State.READY, REJECTED: State.REJECTED, QUARANTINED: State.REJECTED, FAILED: State.REJECTED };
const RESULT_EVENTS = new Set(["file.ready", "file.rejected", "file.quarantined", "file.failed", "file.released", "file.deleted", "file.trashed"]);
const READ_AGAIN = 3; // seconds, where the server does not say when
const ENDED_STEPS = new Set(["done", "skipped", "owed", "failed"]);
const FAILED_TEXT = "The file is stored, but processing it failed. Its page says why and lets it be tried again.";

export class Processing {
  #uploads = new Map(); // by the id of the file
  #stream = null;

  /** `onChange(upload)` is called after each change; `onResult(upload)` once its state is READY or REJECTED. */
  constructor({ onChange, onResult }) {
    Object.assign(this, { onChange, onResult });
  }

  /** Follow the file of an upload. Steps that ended before are read first; events tell the rest. */
  follow(upload) {
    this.#uploads.set(upload.fileId, upload);
    upload.processing = { steps: [], message: "" };
    const onState = (state) => state === "live" && this.#readAll();
    this.#stream ??= subscribe("/ws/events", { onEvent: (event) => this.#take(event), onState });
    this.#read(upload);
  }

  /** After the stream was interrupted: events of that time are not told again where it began anew. */
  #readAll() {
    for (const upload of this.#uploads.values()) this.#read(upload);
  }

  async #read(upload) {
    if (!this.#uploads.has(upload.fileId)) return;
    try {
      const status = await getJson(urlOf(`/files/${upload.fileId}/status/`));
      upload.processing = merged(upload.processing, status);
      if (RESULTS[status.status]) await this.#finish(upload);
      else this.onChange(upload);
    } catch (error) {
      if (error.status === 404) this.#end(upload, State.READY, "It was deleted.");
      else if (error.isTransient) setTimeout(() => this.#read(upload), 1000 * (error.retryAfter ?? READ_AGAIN));
    }
  }

  #take({ type, file_id: fileId, data }) {
    const upload = this.#uploads.get(fileId);
    if (!upload) return;
    if (RESULT_EVENTS.has(type)) return void this.#read(upload);
    const shown = upload.processing;
    if (type === "file.step") noteStep(shown.steps, data);
    if (type === "file.progress") shown.message = data.message;
    this.onChange(upload);
  }

  async #finish(upload) {
    if (!this.#uploads.has(upload.fileId)) return;
    const record = await getJson(urlOf(`/files/${upload.fileId}/`));
    upload.duplicateOf = record.duplicate_of;
    const failed = record.status === "FAILED" ? FAILED_TEXT : "";
    this.#end(upload, RESULTS[record.status], record.rejection?.detail ?? failed);
  }

  #end(upload, state, reason) {
    if (!this.#uploads.delete(upload.fileId)) return;
    Object.assign(upload, { state, reason: reason || upload.reason });
    this.onResult(upload);
    if (this.#uploads.size || !this.#stream) return;
    this.#stream.close();
    this.#stream = null;
  }
}

function noteStep(steps, { step: name, state }) {
  const step = steps.find((each) => each.name === name);
  if (step) step.state = state;
  else steps.push({ name, state });
}

/** What was read, and steps whose end was told while it was on its way. */
function merged(shown, { steps, message }) {
  for (const { name, state } of shown.steps) if (ENDED_STEPS.has(state)) noteStep(steps, { step: name, state });
  return { steps, message };
}

/** Where a file is: {done, of, now} — steps that have ended, all steps, and the running one in words. */
export function stepsOf({ steps, message }) {
  const done = steps.filter(({ state }) => ENDED_STEPS.has(state)).length;
  const running = steps.find(({ state }) => state === "running");
  return { done, of: steps.length, now: message || running?.name.replaceAll("_", " ") || "Processing" };
}
