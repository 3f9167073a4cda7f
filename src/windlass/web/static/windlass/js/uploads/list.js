// The list of uploads: rows of what is under way or needs a person, the total above it, and below it what has arrived.

import { h, query } from "../dom.js";
import { count } from "../format.js";
import { Row } from "./row.js";
import { totalText } from "./texts.js";
import { State } from "./upload.js";

/** Rows at once: of a folder with thousands of files, the next ones to be sent and all that went wrong are shown first. */
const MOST_ROWS = 100;
const RANK = {
  [State.SENDING]: 0, [State.NEEDS_PERMISSION]: 1, [State.NEEDS_FILE]: 1, [State.FAILED]: 2, [State.REFUSED]: 2, [State.REJECTED]: 2,
  [State.PROCESSING]: 3, [State.PAUSED]: 4, [State.WAITING]: 5,
};
const DRAW_EVERY = 200, TICK = 1000; // milliseconds

export class UploadList {
  #rows = new Map(); // by id
  #dirty = new Set(); // ids
  #timer = null;

  /** `onDraw(totals)` is called after each drawing. */
  constructor(queue, act, onDraw) {
    Object.assign(this, { queue, act, onDraw });
    this.list = query("#upload-list");
    this.done = query("#uploads-done");
    setInterval(() => this.#tick(), TICK);
    for (const network of ["online", "offline"]) addEventListener(network, () => this.#tick());
  }

  /** Draw an upload soon: many changes come in a second. */
  change({ id }) {
    this.#dirty.add(id);
    this.#timer ??= setTimeout(() => this.draw(), DRAW_EVERY);
  }

  draw() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const { uploads } = this.queue;
    for (const id of this.#dirty) {
      const row = this.#rows.get(id);
      if (row && uploads.has(id)) row.update(uploads.get(id));
    }
    this.#dirty.clear();
    this.#place();
    const totals = this.queue.totals();
    this.#drawTotal(totals);
    this.onDraw(totals);
  }

  /** Rates, and how long until the next attempt. */
  #tick() {
    for (const { id, state } of this.queue.uploads.values()) if (state === State.SENDING) this.#dirty.add(id);
    if (this.#dirty.size) this.draw();
  }

  #place() {
    const uploads = [...this.queue.uploads.values()];
    const arrived = uploads.filter(({ state }) => state === State.READY);
    const others = uploads.filter(({ state }) => state !== State.READY);
    const shown = others.length <= MOST_ROWS ? others : [...others].sort((a, b) => RANK[a.state] - RANK[b.state]).slice(0, MOST_ROWS);
    const newest = arrived.slice(-MOST_ROWS);
    const kept = new Set([...shown, ...newest].map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!kept.has(id)) this.#removeRow(id, row);
    arrange(this.list, shown.map((upload) => this.#rowOf(upload)));
    arrange(query("ul", this.done), newest.map((upload) => this.#rowOf(upload)));
    this.#drawCounts(others.length - shown.length, arrived);
  }

  #rowOf(upload) {
    if (!this.#rows.has(upload.id)) this.#rows.set(upload.id, new Row(upload, this.act));
    return this.#rows.get(upload.id).element;
  }

  /** The focus goes to the same place of the next row, else to where files are chosen. */
  #removeRow(id, { element }) {
    this.#rows.delete(id);
    const hadFocus = element.contains(document.activeElement);
    const next = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    if (hadFocus) ((next && query(".upload-actions button:last-child:not([hidden])", next)) ?? query("#choose-files")).focus();
  }

  #drawCounts(more, arrived) {
    query("#uploads-more").hidden = !more;
    query("#uploads-more").textContent = `and ${count(more, "more file")}`;
    this.done.hidden = !arrived.length;
    query("#uploads-done-count").textContent = `${arrived.length.toLocaleString("en")} uploaded`;
    const duplicates = arrived.filter(({ duplicateOf }) => duplicateOf).length;
    query("#uploads-duplicates").textContent = duplicates ? `${count(duplicates, "duplicate")} of files you already have` : "";
  }

  #drawTotal(totals) {
    const { counts } = totals;
    const text = totalText(totals);
    const has = (...states) => states.some((state) => counts[state]);
    query("#uploads-now").hidden = !(this.queue.uploads.size - (counts[State.READY] ?? 0));
    query("#uploads-total").textContent = text;
    query("#uploads-permission").hidden = !has(State.NEEDS_PERMISSION);
    query("#pause-all").hidden = !has(State.SENDING, State.WAITING);
    query("#resume-all").hidden = !has(State.PAUSED);
    query("#retry-all").hidden = !has(State.FAILED);
    query("#cancel-all").hidden = !has(State.SENDING, State.WAITING, State.PAUSED, State.FAILED, State.NEEDS_FILE, State.NEEDS_PERMISSION);
    query("#dismiss-all").hidden = !has(State.REFUSED, State.REJECTED);
  }
}

/** Give a list these children in this order, moving only those that are elsewhere: a moved element loses the focus. */
function arrange(list, elements) {
  elements.forEach((element, at) => {
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
  });
}
