// Checks, processing steps and history of a file.

import { h } from "../dom.js";
import { dateTime, duration } from "../format.js";
import { icon } from "../icons.js";
import { stepTitle } from "../files/words.js";

const STEP_STATES = {
  pending: { icon: "waiting", word: "waiting", tone: "" },
  running: { icon: "running", word: "running", tone: "" },
  done: { icon: "ready", word: "done", tone: "good" },
  skipped: { icon: "released", word: "not needed", tone: "" },
  owed: { icon: "waiting", word: "postponed", tone: "warn" },
  failed: { icon: "failed", word: "failed", tone: "bad" },
};
const CHECK_STATES = {
  passed: { icon: "ready", word: "passed", tone: "good" },
  failed: { icon: "failed", word: "failed", tone: "bad" },
  pending: { icon: "waiting", word: "not checked yet", tone: "" },
  owed: { icon: "waiting", word: "postponed", tone: "warn" },
};
const CHECK_NAMES = {
  size: "Size", checksum: "Checksum", type: "Type", type_rules: "Rules for the type", malware: "Malware scan", malware_limits: "Limits of the malware scan",
  duplicate: "Earlier copies", content_rules: "Rules for the content", media_rules: "Rules for media", archive_rules: "Rules for archives", pixel_rules: "Number of pixels", "not measured": "Not measured", integrity: "Stored bytes",
};
const EVENTS = {
  "file.created": ["upload", "Received"],
  "file.ready": ["ready", "Ready"],
  "file.rejected": ["rejected", "Refused"],
  "file.quarantined": ["quarantined", "Malware found"],
  "file.failed": ["failed", "Processing failed"],
  "file.released": ["released", "Bytes released"],
  "file.trashed": ["delete", "Moved to the trash"],
  "file.restored": ["restore", "Restored from the trash"],
  "file.damaged": ["failed", "Stored bytes found damaged"],
  "file.mended": ["ready", "Stored bytes are right again"],
  "job.dead": ["failed", "Given up"],
};

const line = ({ icon: symbol, word, tone }, title, detail, aside) => h("li", { class: "step" },
  h("span", { class: `badge ${tone}` }, icon(symbol)),
  h("span", { class: "step-title" }, title, h("span", { class: "visually-hidden" }, `: ${word}`)),
  aside && h("span", { class: "soft small step-aside" }, aside),
  detail && h("span", { class: "soft small step-detail" }, detail));

export function checksView(file) {
  return file.checks.map(({ name, state, detail }) => line(CHECK_STATES[state], CHECK_NAMES[name] ?? stepTitle(name), detail, CHECK_STATES[state].word));
}

export function stepsView(status) {
  return status.steps.map(({ name, state, seconds, progress, detail }) => {
    const aside = state === "running" ? `${progress} %` : seconds ? duration(seconds) : STEP_STATES[state].word;
    return line(STEP_STATES[state], stepTitle(name), detail, aside);
  });
}

/** One entry of the history for an event of the journal; null for events that the steps show. */
export function eventView({ type, at, data }) {
  const [symbol, title] = EVENTS[type] ?? [];
  if (!title) return null;
  return h("li", { class: "step" },
    h("span", { class: "badge" }, icon(symbol)),
    h("span", { class: "step-title" }, title),
    h("time", { class: "soft small step-aside", dateTime: at }, dateTime(at)),
    data.message && h("span", { class: "soft small step-detail" }, data.message));
}
