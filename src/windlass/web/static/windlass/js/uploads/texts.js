// What an upload's row says.

import { Unreachable } from "../api.js";
import { bytes, rate, timeLeft } from "../format.js";
import { stepsOf } from "./processing.js";
import { State } from "./upload.js";

/** Icon and word of each state. */
export const STATES = {
  [State.WAITING]: ["waiting", "Waiting"], [State.SENDING]: ["upload", "Uploading"], [State.PROCESSING]: ["running", "Processing"],
  [State.PAUSED]: ["pause", "Paused"], [State.NEEDS_PERMISSION]: ["folder", "Interrupted"], [State.NEEDS_FILE]: ["folder", "Interrupted"],
  [State.FAILED]: ["failed", "Failed"], [State.REFUSED]: ["rejected", "Refused"], [State.REJECTED]: ["rejected", "Refused"],
  [State.READY]: ["ready", "Uploaded"],
};

export const percentOf = ({ sent, size }) => (size ? Math.floor((sent / size) * 100) : 0);

export function noteOf(upload) {
  const { state, size, sent, reason } = upload;
  if (upload.wait) return waitText(upload.wait);
  const figures = `${bytes(sent)} of ${bytes(size)}`;
  switch (state) {
    case State.SENDING: return [reason, figures, ...speedOf(upload)].filter(Boolean).join(" · ");
    case State.WAITING: return sent ? `Waiting · ${figures}` : `Waiting · ${bytes(size)}`;
    case State.PAUSED: return `Paused · ${figures}`;
    case State.PROCESSING: return processingText(upload);
    case State.NEEDS_PERMISSION: return `Interrupted at ${percentOf(upload)} %. The browser needs your permission to read the file.`;
    case State.NEEDS_FILE: return `${reason}Interrupted at ${percentOf(upload)} %. Choose “${upload.name}” again to go on.`;
    case State.READY: return [reason, bytes(size)].filter(Boolean).join(" · ");
    default: return reason;
  }
}

function speedOf({ meter, size, sent }) {
  const perSecond = meter.perSecond;
  return perSecond ? [rate(perSecond), timeLeft(meter.secondsFor(size - sent))] : [];
}

function processingText({ processing }) {
  if (!processing?.steps.length) return "Uploaded. Waiting for a worker.";
  const { done, of, now } = stepsOf(processing);
  return `${now} (${Math.min(done + 1, of)} of ${of})`;
}

function waitText({ error, until }) {
  if (!navigator.onLine) return "This device is offline. The upload goes on when the network is back.";
  const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  if (error instanceof Unreachable) return `The server does not answer; it is tried again in ${seconds} s.`;
  if (error.status === 429) return `The server limits how many uploads begin in a minute; this one begins in ${seconds} s.`;
  return `${error.message} It is tried again in ${seconds} s.`;
}

/** The line above the list; "" where nothing is under way. */
export function totalText({ counts, done, files, bytes: all, sent, perSecond, secondsLeft }) {
  const under = [State.SENDING, State.WAITING].some((state) => counts[state]);
  if (!under) return counts[State.PAUSED] ? "Paused" : counts[State.PROCESSING] ? "Uploaded. The server is processing." : "";
  const percent = `${percentOf({ sent, size: all })} %`;
  const speed = perSecond ? [rate(perSecond), timeLeft(secondsLeft)] : [];
  return [`${done} of ${files} uploaded`, percent, ...speed].join(" · ");
}
