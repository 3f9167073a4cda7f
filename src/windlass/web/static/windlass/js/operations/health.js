// Components, circuit breakers and queues.

import { sendJson, urlOf } from "../api.js";
import { h, toast } from "../dom.js";
import { count, duration, relativeTime } from "../format.js";
import { badge, button, draw, empty, table } from "./sections.js";

const STATES = { ok: ["good", "Works"], impaired: ["warn", "Impaired"], failed: ["bad", "Failed"], off: ["plain", "Off"] };
const ORDER = Object.keys(STATES).reverse().filter((state) => state !== "off").concat("off");
const BREAKERS = { closed: ["good", "Closed"], half_open: ["warn", "Half open"], open: ["bad", "Open"] };
/** Seconds that a queue's oldest entry may wait before it is worth a look. */
const LONG_WAIT = 60;

const named = (name) => h("span", { class: "mono" }, name);

export function drawComponents(components) {
  const rows = Object.entries(components).sort(([, a], [, b]) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  draw("components", rows, () => table(
    "Components", [{ name: "Component" }, { name: "State" }, { name: "Detail" }, { name: "Check took", number: true }],
    rows.map(([name, { state, detail, latency_ms }]) => [named(name), badge(...STATES[state]), detail, `${latency_ms < 10 ? latency_ms.toFixed(1) : Math.round(latency_ms)} ms`]),
  ));
}

export function drawBreakers(breakers, refresh) {
  const all = Object.values(breakers).sort((a, b) => (a.state === "closed") - (b.state === "closed") || a.name.localeCompare(b.name));
  draw("breakers", all, () => (all.length ? table(
    "Circuit breakers", [{ name: "Breaker" }, { name: "State" }, { name: "Opened" }, { name: "Next trial" }, { name: "Action" }],
    all.map((breaker) => [
      named(breaker.name), badge(...BREAKERS[breaker.state]), breaker.opened_at ? relativeTime(breaker.opened_at) : "", breaker.retry_at ? relativeTime(breaker.retry_at) : "",
      breaker.state === "closed" ? "" : button("Reset", `reset ${breaker.name}`, () => reset(breaker.name, refresh), { name: `Reset ${breaker.name}` }),
    ]),
  ) : empty("There are none.")));
}

async function reset(name, refresh) {
  try {
    await sendJson("POST", urlOf(`/error-handling/circuit-breakers/${encodeURIComponent(name)}/reset`));
    toast(`${name} is closed. It opens again if calls still fail.`, { kind: "good" });
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
  await refresh();
}

const WORDS = { intake: "Intake", describe: "Facts", derive: "Previews", webhooks: "Webhooks" };

export function drawQueues(queues) {
  draw("queues", queues, () => table(
    "Queues", [{ name: "Queue" }, { name: "Waiting", number: true }, { name: "Running", number: true }, { name: "Failed for good", number: true }, { name: "Oldest waits", number: true }],
    queues.map(({ name, queued, running, dead, oldest_age_seconds }) => [
      WORDS[name] ?? name, queued.toLocaleString("en"), running === null ? "" : running.toLocaleString("en"), dead.toLocaleString("en"), oldest_age_seconds ? duration(oldest_age_seconds) : "",
    ]),
  ));
}

/** What of these figures needs attention, as {kind, text, section}. */
export function attentionOf(components, breakers, queues) {
  const found = [];
  for (const [name, { state, detail }] of Object.entries(components)) {
    if (state === "failed" || state === "impaired") found.push({ kind: STATES[state][0], text: `${name}: ${detail}`, section: "components" });
  }
  const open = Object.values(breakers).filter(({ state }) => state !== "closed");
  if (open.length) found.push({ kind: "warn", text: `${count(open.length, "circuit breaker")} not closed: ${open.map(({ name }) => name).join(", ")}`, section: "breakers" });
  for (const { name, oldest_age_seconds } of queues) {
    if (oldest_age_seconds > LONG_WAIT) found.push({ kind: "warn", text: `${WORDS[name] ?? name}: the oldest has waited ${duration(oldest_age_seconds)}`, section: "queues" });
  }
  return found;
}
