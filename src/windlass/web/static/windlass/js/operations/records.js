// Storage by owner, uploads in progress, and deliveries to webhooks that failed.

import { sendJson, urlOf } from "../api.js";
import { h, toast } from "../dom.js";
import { bytes, count, relativeTime } from "../format.js";
import { badge, button, draw, empty, table } from "./sections.js";

const ownerName = ({ name, owner }) => (name ? h("span", { title: owner }, name) : h("span", { class: "mono" }, owner));

function quota({ limit, used, reserved }) {
  if (limit === null) return h("span", { class: "soft" }, "no limit");
  const share = Math.min(1, (used + reserved) / Math.max(limit, 1));
  const bar = h("span", { class: "progress", role: "img", "aria-label": `${Math.round(share * 100)} % used` }, h("span", { style: { transform: `scaleX(${share})` } }));
  return h("span", { class: share >= 0.9 ? "quota full" : "quota" }, bar, `${Math.round(share * 100)} % of ${bytes(limit)}`);
}

export function drawOwners(owners) {
  draw("owners", owners, () => (owners.length ? table(
    "Storage by owner", [{ name: "Owner" }, { name: "Files", number: true }, { name: "Stored", number: true }, { name: "In the trash", number: true }, { name: "Quota" }],
    owners.map((owner) => [ownerName(owner), owner.files.used.toLocaleString("en"), bytes(owner.bytes.used), owner.bytes.trashed ? bytes(owner.bytes.trashed) : "", quota(owner.bytes)]),
  ) : empty("Nothing is stored.")));
}

export function drawUploads({ total, results }) {
  draw("uploads", { total, results }, () => (total ? [
    table(
      "Uploads in progress", [{ name: "File" }, { name: "Owner" }, { name: "Received", number: true }, { name: "State" }, { name: "Expires" }],
      results.map((upload) => [
        h("span", { class: "name" }, upload.filename), h("span", { class: "mono" }, upload.owner), upload.size === null ? bytes(upload.offset) : `${bytes(upload.offset)} of ${bytes(upload.size)}`,
        upload.is_receiving ? badge("good", "Receiving") : badge("plain", `Idle since ${relativeTime(upload.updated_at)}`), relativeTime(upload.expires_at),
      ]),
    ),
    total > results.length && h("p", { class: "soft small" }, `${count(total - results.length, "other")} not shown.`),
  ] : empty("None.")));
}

export function drawDeliveries({ total, results }, refresh) {
  draw("deliveries", { total, results }, () => (total ? [
    table(
      "Deliveries that failed", [{ name: "Event" }, { name: "To" }, { name: "Last error" }, { name: "Failed" }, { name: "Action" }],
      results.map((delivery) => [
        delivery.type, h("span", { class: "mono" }, delivery.url), lastError(delivery), delivery.finished_at ? relativeTime(delivery.finished_at) : "",
        button("Send again", `replay ${delivery.id}`, () => replay(delivery, refresh), { name: `Send again: ${delivery.type} to ${delivery.url}` }),
      ]),
    ),
    total > results.length && h("p", { class: "soft small" }, `${count(total - results.length, "other")} not shown.`),
  ] : empty("None: every delivery arrived, or is still tried.")));
}

function lastError({ attempts }) {
  const last = attempts.at(-1);
  if (!last) return "";
  return last.error || (last.status ? `The receiver answered ${last.status}.` : "");
}

async function replay({ webhook_id, id }, refresh) {
  try {
    await sendJson("POST", urlOf(`/api/v1/webhooks/${webhook_id}/deliveries/${id}/replay`));
    toast("It is sent again.", { kind: "good" });
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
  await refresh();
}
