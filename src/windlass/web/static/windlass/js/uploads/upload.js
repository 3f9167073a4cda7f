// One file on its way: what it is, how it is sent, and how far it is.

import { RateMeter } from "./rate.js";
import { newKey } from "./range_transfer.js";
import { newPlan, sentOf } from "./send_file.js";

/** States of an upload. Those of the first line are under way; those of the last are the end. */
export const State = Object.freeze({
  WAITING: "waiting", SENDING: "sending", PROCESSING: "processing",
  PAUSED: "paused", NEEDS_PERMISSION: "needs-permission", NEEDS_FILE: "needs-file",
  FAILED: "failed", REFUSED: "refused", REJECTED: "rejected", READY: "ready",
});

/** What a later page needs (see ResumeStore). */
const KEPT = ["id", "owner", "added", "name", "path", "size", "type", "lastModified", "profile", "handle", "folder", "isCopied", "plan", "paused"];

export class Upload {
  state = State.WAITING;
  file = null;
  wait = null; // {error, until} between two attempts
  reason = ""; // why it failed or was refused, or what the person should know
  fileId = null; // of the file record, once every byte is there
  processing = null; // {steps, message} of its file
  duplicateOf = null; // id of an older file with the same content
  controller = null; // aborts what is under way
  meter = new RateMeter();

  constructor(record) {
    Object.assign(this, record);
  }

  /** An upload of something that was just chosen. */
  static of({ file, name, path, handle, folder }, { owner, profile }) {
    const upload = new Upload({
      id: newKey(), owner, added: Date.now(), name: name ?? file.name, path, size: file?.size ?? 0, type: file?.type ?? "",
      lastModified: file?.lastModified ?? 0, profile, handle, folder, isCopied: false, paused: false,
    });
    upload.file = file;
    upload.plan = newPlan(upload.size);
    return upload;
  }

  get record() {
    return Object.fromEntries(KEPT.map((name) => [name, this[name]]));
  }

  get sent() {
    return [State.PROCESSING, State.READY, State.REJECTED].includes(this.state) ? this.size : Math.min(this.size, sentOf(this.plan));
  }

  /** As the API takes it: `relativePath` is shown in the record's metadata. */
  get metadata() {
    return { filename: this.name, filetype: this.type, profile: this.profile, relativePath: this.path };
  }

  isSameFile(file) {
    return file.name === this.name && file.size === this.size && file.lastModified === this.lastModified;
  }

  /** Whether a later page could go on by itself, without asking for the file. */
  get canBeReadLater() {
    return this.isCopied || this.handle !== null;
  }
}
