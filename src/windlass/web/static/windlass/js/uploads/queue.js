// The uploads of this page: which of them are sent now, and what a person does with them.

import { Problem } from "../api.js";
import { Retries } from "./retries.js";
import { discardPlan, newPlan, sendFile } from "./send_file.js";
import { refusalOf } from "./rules.js";
import { RateMeter } from "./rate.js";
import { State, Upload } from "./upload.js";

const AT_ONCE = 3;
const COPY_AFTER = 1000; // milliseconds: most small files have arrived by then
const UNDO_SECONDS = 8;
/** Statuses by which the server refuses the file as it is. */
const REFUSALS = new Set([400, 403, 413, 415, 422]);

export class Queue {
  uploads = new Map(); // in the order shown
  meter = new RateMeter();
  #sending = new Set();
  #doneBytes = 0;

  /**
   * `profiles` are the server's, by name. `onChange(upload)` is called after each change of one, `onSent(upload)` when the
   * server has all of one, and `onFailed(upload)` when it was given up.
   */
  constructor({ store, owner, profiles, onChange, onSent, onFailed }) {
    Object.assign(this, { store, owner, profiles, onChange, onSent, onFailed });
  }

  // ---- Adding

  /** Add what was chosen. A file that an interrupted upload is waiting for continues that one. Returns the uploads. */
  add(selections, profile) {
    const interrupted = [...this.uploads.values()].filter(({ state }) => [State.NEEDS_FILE, State.NEEDS_PERMISSION].includes(state));
    const uploads = selections.map((selection) => this.#continued(selection, interrupted) ?? this.#new(selection, profile));
    this.store.save(uploads.filter(({ state }) => state === State.WAITING).map(({ record }) => record));
    this.#startNext();
    return uploads;
  }

  #continued({ file, handle, folder }, interrupted) {
    const at = file ? interrupted.findIndex((each) => each.isSameFile(file)) : -1;
    if (at < 0) return null;
    const [upload] = interrupted.splice(at, 1);
    Object.assign(upload, { file, handle: handle ?? upload.handle, folder: folder ?? upload.folder });
    this.#set(upload, State.WAITING);
    return upload;
  }

  #new(selection, profile) {
    const upload = Upload.of(selection, { owner: this.owner, profile });
    this.uploads.set(upload.id, upload);
    const refusal = selection.file ? refusalOf(upload, this.profiles.get(profile)) : "This device does not let the file be read.";
    this.#set(upload, refusal ? State.REFUSED : State.WAITING, refusal ?? "");
    if (!refusal) setTimeout(() => this.#copy(upload), COPY_AFTER);
    return upload;
  }

  /** Continue what an earlier page left. */
  async restore() {
    for (const record of await this.store.adopt(this.owner)) {
      if (record.cancelled) {
        this.#discard(new Upload(record));
        continue;
      }
      const upload = new Upload(record);
      this.uploads.set(upload.id, upload);
      await this.#findFile(upload);
    }
    this.#startNext();
  }

  async #findFile(upload) {
    const { handle, folder } = upload;
    const permission = handle ? await (folder ?? handle).queryPermission({ mode: "read" }) : null;
    if (permission === "prompt") return this.#set(upload, State.NEEDS_PERMISSION);
    const file = permission === "granted" ? await handle.getFile().catch(() => null) : await this.store.copied(upload);
    if (file && upload.isSameFile(file)) {
      upload.file = file;
      return this.#set(upload, upload.paused ? State.PAUSED : State.WAITING);
    }
    const changed = file ? "The file was changed on this device. " : "";
    this.#set(upload, State.NEEDS_FILE, changed);
  }

  /** Ask the browser for permission to read what it could not; call it in the event of a click. */
  async askForPermission() {
    const asking = [...this.uploads.values()].filter(({ state }) => state === State.NEEDS_PERMISSION);
    for (const { handle, folder } of asking) await (folder ?? handle).requestPermission({ mode: "read" }).catch(() => {});
    for (const upload of asking) await this.#findFile(upload);
    this.#startNext();
  }

  async #copy(upload) {
    const isNeeded = () => this.#isUnsent(upload) && !upload.canBeReadLater;
    if (!isNeeded() || !(await this.store.copy(upload.id, upload.file, isNeeded))) return;
    if (!this.#isUnsent(upload)) return this.store.remove([upload.id]);
    upload.isCopied = true;
    await this.store.save([upload.record]);
  }

  #isUnsent({ id, state }) {
    return this.uploads.has(id) && [State.WAITING, State.SENDING, State.PAUSED, State.FAILED].includes(state);
  }

  // ---- Sending

  #startNext() {
    for (const upload of this.uploads.values()) {
      if (this.#sending.size >= AT_ONCE) return;
      if (upload.state === State.WAITING) this.#send(upload);
    }
  }

  async #send(upload) {
    const { signal } = (upload.controller = new AbortController());
    upload.retries = new Retries((wait) => this.#note(upload, { wait }));
    this.#sending.add(upload);
    this.#set(upload, State.SENDING, upload.reason);
    try {
      const path = await sendFile({
        signal, file: upload.file, plan: upload.plan, metadata: upload.metadata, retries: upload.retries,
        onChange: (saved) => this.#noteSent(upload, saved),
        onRestart: () => this.#note(upload, { reason: "The server no longer had the beginning, so it was sent from the start." }),
        isAlone: () => this.#sending.size === 1 && !this.#hasWaiting(),
      });
      this.#finish(upload, path);
    } catch (error) {
      if (!signal.aborted) this.#fail(upload, error);
    } finally {
      if (upload.controller.signal === signal) this.#sending.delete(upload);
      this.#startNext();
    }
  }

  #hasWaiting() {
    return [...this.uploads.values()].some(({ state }) => state === State.WAITING);
  }

  #finish(upload, path) {
    upload.fileId = path.split("/").at(-2);
    this.#doneBytes += upload.size;
    this.store.remove([upload.id]);
    this.#set(upload, State.PROCESSING, upload.reason);
    this.onSent(upload);
  }

  #fail(upload, error) {
    const refused = error instanceof Problem && REFUSALS.has(error.status);
    if (refused) this.#discard(upload);
    this.#set(upload, refused ? State.REFUSED : State.FAILED, error.message);
    this.onFailed(upload);
  }

  #noteSent(upload, saved) {
    upload.meter.note(upload.sent);
    this.meter.note(this.#doneBytes + this.#bytesUnderWay());
    if (saved && this.uploads.has(upload.id)) this.store.save([upload.record]);
    this.onChange(upload);
  }

  #bytesUnderWay() {
    let sum = 0;
    for (const upload of this.#sending) sum += upload.sent;
    return sum;
  }

  // ---- What a person does

  pause(upload) {
    if (![State.SENDING, State.WAITING].includes(upload.state)) return;
    this.#stop(upload);
    upload.paused = true;
    this.#set(upload, State.PAUSED);
    this.store.save([upload.record]);
    this.#startNext();
  }

  /** Go on with a paused upload, try a failed one again, or end the wait between two attempts. */
  resume(upload) {
    if (upload.state === State.SENDING) return upload.retries.wake();
    if (![State.PAUSED, State.FAILED].includes(upload.state)) return;
    upload.paused = false;
    this.#set(upload, State.WAITING);
    this.store.save([upload.record]);
    this.#startNext();
  }

  /**
   * Take an upload off the list at once. What has arrived is kept for some seconds, in which the function that is
   * returned puts the upload back. Returns null for one that is not under way.
   */
  cancel(upload) {
    const before = upload.state;
    this.#stop(upload);
    this.uploads.delete(upload.id);
    this.onChange(upload);
    this.#startNext();
    if (!this.#hasRecord(before)) return null;
    this.store.save([{ ...upload.record, cancelled: true }]);
    const timer = setTimeout(() => this.#discard(upload), UNDO_SECONDS * 1000);
    return () => {
      clearTimeout(timer);
      this.uploads.set(upload.id, upload);
      this.#set(upload, before === State.SENDING ? State.WAITING : before, upload.reason);
      this.store.save([upload.record]);
      this.#startNext();
    };
  }

  #hasRecord(state) {
    return ![State.PROCESSING, State.READY, State.REJECTED, State.REFUSED].includes(state);
  }

  #stop(upload) {
    upload.controller?.abort();
    upload.wait = null;
    upload.meter.reset();
    this.#sending.delete(upload);
  }

  #discard(upload) {
    discardPlan(upload.plan);
    upload.plan = newPlan(upload.size);
    this.store.remove([upload.id]);
  }

  // ---- What the page shows

  /** Figures of all: {files, done, bytes, sent, perSecond, secondsLeft, counts}, `counts` being uploads by state. */
  totals() {
    const totals = { files: 0, done: 0, bytes: 0, sent: 0, counts: {} };
    for (const { state, size, sent } of this.uploads.values()) {
      totals.counts[state] = (totals.counts[state] ?? 0) + 1;
      if ([State.REFUSED, State.REJECTED].includes(state)) continue;
      totals.files += 1;
      totals.bytes += size;
      totals.sent += sent;
      if (!this.#hasRecord(state)) totals.done += 1;
    }
    // Of many small files, the time of each request decides, not the rate: nothing is said then.
    const hasRate = [...this.#sending].some(({ meter }) => meter.perSecond);
    const left = this.meter.secondsFor(totals.bytes - totals.sent);
    return { ...totals, perSecond: hasRate ? this.meter.perSecond : null, secondsLeft: hasRate ? left : null };
  }

  /** Whether something would be lost by leaving: a later page could not go on without asking for the file. */
  get needsThisPage() {
    return [...this.uploads.values()].some((upload) => [State.SENDING, State.WAITING].includes(upload.state)
      && (!this.store.works || !upload.canBeReadLater));
  }

  #note(upload, changes) {
    Object.assign(upload, changes);
    this.onChange(upload);
  }

  #set(upload, state, reason = "") {
    if (state !== State.SENDING) upload.wait = null;
    this.#note(upload, { state, reason });
  }
}
