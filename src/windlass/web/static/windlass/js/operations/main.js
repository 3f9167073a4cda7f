// The operations page: read the figures every few seconds while somebody looks, and at once when an event of the system comes.

import { getJson, urlOf } from "../api.js";
import { h, query } from "../dom.js";
import { count } from "../format.js";
import { subscribe } from "../live.js";
import { drawDeadLetters, readDeadLetters } from "./dead-letters.js";
import { attentionOf, drawBreakers, drawComponents, drawQueues } from "./health.js";
import { connectPinning, drawLevel } from "./level.js";
import { drawDeliveries, drawOwners, drawUploads } from "./records.js";
import { badge, draw, drawError } from "./sections.js";
import { connectWindows, drawThroughput, readThroughput } from "./throughput.js";

const known = {};
const read = (path, parameters) => getJson(urlOf(`/error-handling/${path}`), parameters);

/** Each part of the page: how often it is read (seconds), how, and how it is shown. `sections` are those that its error is shown in. */
const PARTS = {
  health: { every: 5, sections: ["components"], read: () => read("health"), show: ({ components }) => drawComponents(components) },
  breakers: { every: 5, sections: ["breakers"], read: () => read("circuit-breakers"), show: (found) => drawBreakers(found.circuit_breakers, () => refresh("breakers", "level")) },
  queues: { every: 5, sections: ["queues"], read: () => read("queues"), show: ({ queues }) => drawQueues(queues) },
  level: { every: 5, sections: ["level"], read: () => read("service-level"), show: (status) => drawLevel(status, () => refresh("level", "health")) },
  uploads: { every: 5, sections: ["uploads"], read: () => read("uploads", { limit: 20 }), show: drawUploads },
  letters: { every: 15, sections: ["dead-letters"], read: readDeadLetters, show: (letters) => drawDeadLetters(letters, () => refresh("letters", "queues")) },
  deliveries: { every: 15, sections: ["deliveries"], read: () => read("failed-deliveries"), show: (found) => drawDeliveries(found, () => refresh("deliveries", "queues")) },
  throughput: { every: 15, sections: ["throughput"], read: readThroughput, show: drawThroughput },
  owners: { every: 60, sections: ["owners"], read: () => read("owners", { limit: 20 }), show: ({ results }) => drawOwners(results) },
};
/** The parts that an event of this type changes. */
const CHANGED_BY = {
  "system.breaker": ["breakers", "health", "level"], "system.level": ["level", "health"], "job.dead": ["letters", "queues"],
  "upload.created": ["uploads"], "upload.completed": ["uploads"], "file.failed": ["letters"],
};

async function refresh(...names) {
  await Promise.all(names.map(async (name) => {
    const part = PARTS[name];
    part.readAt = Date.now();
    try {
      known[name] = await part.read();
      delete part.error;
      part.show(known[name]);
    } catch (error) {
      part.error = error;
      if (error.status) for (const section of part.sections) drawError(section, error);
    }
  }));
  showAttention();
}

function showAttention() {
  const errors = Object.values(PARTS).map(({ error }) => error).filter(Boolean);
  const unreachable = errors.some((error) => !error.status);
  query("#unreachable").hidden = !unreachable;
  if (!known.health || !known.breakers || !known.queues || !known.level) return;
  const found = attentionOf(known.health.components, known.breakers.circuit_breakers, known.queues.queues);
  if (known.level.level !== "full") found.unshift({ kind: known.level.level === "maintenance" ? "bad" : "warn", text: `Service level: ${known.level.level}`, section: "level" });
  const dead = known.queues.queues.filter(({ name }) => name !== "webhooks").reduce((sum, queue) => sum + queue.dead, 0);
  if (dead) found.push({ kind: "bad", text: count(dead, "dead letter"), section: "dead-letters" });
  const failed = known.queues.queues.find(({ name }) => name === "webhooks")?.dead;
  if (failed) found.push({ kind: "warn", text: `${count(failed, "delivery", "deliveries")} to webhooks failed`, section: "deliveries" });
  found.sort((a, b) => (b.kind === "bad") - (a.kind === "bad"));
  draw("attention", found, () => (found.length
    ? h("ul", { class: "attention" }, found.map(({ kind, text, section }) => h("li", {}, badge(kind, kind === "bad" ? "Needs you" : "Look"), h("a", { href: `#${section}`, dataset: { key: `${section} ${text}` } }, text))))
    : h("p", {}, badge("good", "Everything works"), " Nothing needs attention.")));
}

function refreshDue() {
  if (document.hidden) return;
  const due = Object.keys(PARTS).filter((name) => Date.now() - (PARTS[name].readAt ?? 0) >= PARTS[name].every * 1000 - 200);
  if (due.length) refresh(...due);
}

/** Several events at once are one reason to read. */
function refreshSoon(names) {
  for (const name of names) pending.add(name);
  soon ??= setTimeout(() => {
    soon = null;
    const now = [...pending];
    pending.clear();
    refresh(...now);
  }, 200);
}
const pending = new Set();
let soon = null;

connectPinning(() => refresh("level", "health"));
connectWindows(() => refresh("throughput"));
refresh(...Object.keys(PARTS));
setInterval(refreshDue, 1000);
document.addEventListener("visibilitychange", refreshDue);
subscribe("/ws/events", { onEvent: ({ type }) => { if (CHANGED_BY[type] && !document.hidden) refreshSoon(CHANGED_BY[type]); } });
