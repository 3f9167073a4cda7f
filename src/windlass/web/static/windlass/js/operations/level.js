// The service level: what works and why, pinning a level, and letting it follow the components again.

import { sendJson, urlOf } from "../api.js";
import { h, query, toast } from "../dom.js";
import { relativeTime } from "../format.js";
import { badge, button, draw } from "./sections.js";

const PATH = "/error-handling/service-level";
const LEVELS = {
  full: ["good", "Full", "Everything works."],
  degraded: ["warn", "Degraded", "Previews and other extras are postponed."],
  basic: ["warn", "Basic", "Files are received, checked and served; all else is postponed."],
  maintenance: ["bad", "Maintenance", "New uploads are refused; downloads go on."],
};

export const levelBadge = (level) => badge(...LEVELS[level].slice(0, 2));

export function drawLevel(status, refresh) {
  draw("level", status, () => [
    h("p", { class: "line" }, levelBadge(status.level), h("span", {}, status.reason || LEVELS[status.level][2])),
    h("p", { class: "soft small" }, `${status.automatic ? "Follows the components" : "Pinned"}, since ${relativeTime(status.since)}.`),
    status.automatic ? null : button("Follow the components again", "automatic", () => change({ automatic: true }, "The level follows the components again.")),
  ]);
  for (const option of query("#pin-level").options) option.disabled = !status.automatic && option.value === status.level;

  async function change(value, done) {
    await setLevel(value, done);
    await refresh();
  }
}

/** Returns whether it is done; a toast says so or why not. */
export async function setLevel(value, done) {
  try {
    await sendJson("PUT", urlOf(PATH), value);
    toast(done, { kind: "good" });
    return true;
  } catch (error) {
    toast(error.message, { kind: "bad" });
    return false;
  }
}

/** Let the form pin a level. */
export function connectPinning(refresh) {
  const form = query("#pin");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { level, reason } = Object.fromEntries(new FormData(form));
    const send = query("button", form);
    send.disabled = true;
    if (await setLevel({ level, reason }, `The level is pinned to ${LEVELS[level][1].toLowerCase()}.`)) {
      form.reset();
      query("details#pinning").open = false;
    }
    send.disabled = false;
    await refresh();
  });
}
