// Parts of the page: drawn again only when what they show has changed, without taking the focus from who uses them.

import { h, query } from "../dom.js";
import { icon } from "../icons.js";

/** Seconds after which texts such as "5 minutes ago" are drawn again. */
const STALE_SECONDS = 30;
const drawn = new Map();

/** Draw `section` (its id) from `data` by `build(data)`, which returns nodes. Elements with `data-key` keep the focus. */
export function draw(section, data, build) {
  const place = query(`#${section} .body`);
  const state = JSON.stringify([data, Math.floor(Date.now() / 1000 / STALE_SECONDS)]);
  if (drawn.get(section) === state) return;
  drawn.set(section, state);
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...[build(data)].flat().filter(Boolean));
  if (key) query(`[data-key="${CSS.escape(key)}"]`, place)?.focus();
}

/** Draw the section at the next `draw` in any case. */
export const forget = (section) => drawn.delete(section);

/** Say in the section that its figures could not be read. */
export function drawError(section, error) {
  forget(section);
  query(`#${section} .body`).replaceChildren(h("p", { class: "error" }, `This could not be read: ${error.message}`));
}

const MARKS = { good: "ready", warn: "waiting", bad: "failed", plain: "pause" };

/** A state as an icon and a word. `kind` is good, warn, bad or plain. */
export const badge = (kind, word) => h("span", { class: `badge ${kind}` }, icon(MARKS[kind]), word);

/** A table. `columns` are {name, number?}; `rows` are arrays of cells, which are nodes or texts. */
export function table(label, columns, rows) {
  const head = columns.map(({ name, number }) => h("th", { scope: "col", class: number ? "number" : null }, name));
  const cell = (content, index) => h("td", { class: columns[index].number ? "number" : null, dataset: { name: columns[index].name } }, content);
  const body = rows.map((cells) => h("tr", {}, cells.map(cell)));
  return h("div", { class: "scroll-x" }, h("table", { class: "table", "aria-label": label }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

export const empty = (text) => h("p", { class: "soft" }, text);

/** A button that is disabled while `run` runs. `key` names it for `draw`. */
export function button(label, key, run, { kind = "quiet", name } = {}) {
  const element = h("button", { class: `button ${kind}`, type: "button", dataset: { key }, "aria-label": name, on: { click: press } }, label);
  async function press() {
    element.disabled = true;
    try {
      await run();
    } finally {
      element.disabled = false;
    }
  }
  return element;
}
