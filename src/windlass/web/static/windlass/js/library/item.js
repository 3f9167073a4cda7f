// One file in the list or the grid.

import { h, query } from "../dom.js";
import { bytes, count, dateTime, duration, relativeTime, typeLabel } from "../format.js";
import { icon } from "../icons.js";
import { pageOf } from "../files/paths.js";
import { smallPicture } from "../files/picture.js";
import { isRunning, statusOf } from "../files/words.js";

/** An item without a file yet; `fillItem` gives it one. */
export function createItem() {
  return h("li", { class: "item" },
    h("span", { class: "item-picture", "aria-hidden": "true" }),
    h("a", { class: "item-name" }),
    h("span", { class: "item-facts soft small" }),
    h("span", { class: "item-status" }),
    h("time", { class: "item-time soft small" }),
    h("label", { class: "item-pick" }, h("input", { type: "checkbox" })),
    h("button", { class: "icon-button item-more", type: "button", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more")),
  );
}

/** Show a file, or that it is being fetched (null). Nothing is touched if it is shown already. */
export function fillItem(element, file, { index, total, selected, current, progress }) {
  const state = `${index} ${total} ${selected} ${current}`;
  if (element.dataset.state !== state) {
    element.dataset.state = state;
    element.setAttribute("aria-posinset", index + 1);
    element.setAttribute("aria-setsize", total);
    element.classList.toggle("selected", selected);
    for (const control of [query("a", element), query("input", element), query("button", element)]) control.tabIndex = current ? 0 : -1;
  }
  query("input", element).checked = selected; // a click has changed it
  const shown = `${file?.id} ${file?.updated_at} ${progress?.percent} ${progress?.message}`;
  if (element.dataset.shown === shown) return;
  element.dataset.shown = shown;
  element.classList.toggle("away", !file);
  if (file) fill(element, file, progress);
  else delete element.dataset.id;
}

function fill(element, file, progress) {
  element.dataset.id = file.id;
  const name = query(".item-name", element);
  Object.assign(name, { textContent: file.original_filename, href: pageOf(file.id), title: file.original_filename });
  query(".item-facts", element).textContent = facts(file).join(" · ");
  const time = query(".item-time", element);
  const moment = file.trash_until ?? file.created_at;
  Object.assign(time, { dateTime: moment, title: dateTime(moment), textContent: file.trash_until ? `until ${dateTime(moment)}` : relativeTime(moment) });
  query("input", element).setAttribute("aria-label", `Select ${file.original_filename}`);
  query("button", element).setAttribute("aria-label", `Actions for ${file.original_filename}`);
  showStatus(query(".item-status", element), file, progress);
  const picture = query(".item-picture", element);
  const drawn = `${file.thumbnail_url} ${file.mime_type ?? file.declared_mime_type}`;
  if (picture.dataset.drawn !== drawn) {
    picture.dataset.drawn = drawn;
    picture.replaceChildren(smallPicture(file));
  }
}

function showStatus(place, file, progress) {
  const { word, icon: symbol, tone } = statusOf(file);
  const running = isRunning(file);
  const said = running && progress?.message ? progress.message : word;
  place.replaceChildren(h("span", { class: `badge ${tone}`, title: file.rejection?.detail ?? "" }, icon(symbol), h("span", {}, said)));
  if (!running || !progress) return;
  place.append(h("span", { class: "progress", "aria-hidden": "true" }, h("span", { style: { transform: `scaleX(${progress.percent / 100})` } })));
}

/** Type, size, and what a person asks next about a file of its kind. */
export function facts(file) {
  return [
    typeLabel(file.mime_type ?? file.declared_mime_type, file.original_filename),
    bytes(file.size),
    file.width && `${file.width} × ${file.height}`,
    file.duration && duration(file.duration),
    file.page_count && count(file.page_count, "page"),
  ].filter(Boolean);
}
