// Links that need no other credential: for how long, and copied.

import { sendJson } from "../api.js";
import { announce, h, openDialog } from "../dom.js";
import { dateTime } from "../format.js";
import { icon } from "../icons.js";
import { recordOf } from "./paths.js";

const HOUR = 3600;
const LIFETIMES = [[HOUR, "1 hour"], [24 * HOUR, "1 day"], [7 * 24 * HOUR, "1 week"]];

/** Ask for how long the link is to work, and show it. */
export async function shareLink(file) {
  const lifetime = h("select", { id: "link-lifetime", name: "lifetime" }, LIFETIMES.map(([seconds, label]) => h("option", { value: seconds }, label)));
  lifetime.value = 24 * HOUR;
  const address = h("input", { id: "link-address", type: "text", readOnly: true, on: { focus: () => address.select() } });
  const note = h("p", { class: "soft small", role: "status" });
  const made = h("div", { class: "field", hidden: true }, h("label", { for: "link-address" }, "Link"), address);
  const make = h("button", { class: "button", type: "button" }, icon("link"), "Copy the link");
  make.addEventListener("click", async () => {
    make.disabled = true;
    try {
      const { url, expires_at: end } = await sendJson("POST", `${recordOf(file.id)}signed-url/`, { expires_in: Number(lifetime.value) });
      address.value = url;
      made.hidden = false;
      note.textContent = `${await copy(url, address) ? "Copied. The" : "Copy it from the field above. The"} link works until ${dateTime(end)}, for anybody who has it.`;
    } catch (error) {
      note.textContent = error.message;
    }
    make.disabled = false;
  });
  await openDialog(h("dialog", { class: "stack", "aria-labelledby": "link-title" },
    h("h2", { id: "link-title" }, `Link to ${file.original_filename}`),
    h("div", { class: "field" }, h("label", { for: "link-lifetime" }, "It works for"), lifetime),
    made, note,
    h("form", { method: "dialog", class: "line" }, make, h("button", { class: "button quiet" }, "Close"))));
}

/** Put a text on the clipboard. Pages without HTTPS may only copy what is selected in `field`. Returns whether it worked. */
export async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field?.select();
    return field ? document.execCommand("copy") : false;
  }
}

/** A button that copies a text, for example a checksum. */
export function copyButton(text, label) {
  const button = h("button", { class: "icon-button", type: "button", title: label }, icon("copy", { label }));
  button.addEventListener("click", async () => {
    const done = await copy(text);
    announce(done ? "Copied." : "The browser does not allow copying here.");
    button.replaceChildren(icon(done ? "check" : "copy", { label }));
    setTimeout(() => button.replaceChildren(icon("copy", { label })), 2000);
  });
  return button;
}
