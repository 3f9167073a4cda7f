// The row of one upload. It is made once and updated, so that the focus and what a screen reader reads stay where they are.

import { h } from "../dom.js";
import { urlOf } from "../api.js";
import { icon } from "../icons.js";
import { STATES, noteOf, percentOf } from "./texts.js";
import { State } from "./upload.js";

/** The main action in each state: [icon, label, what it does]. */
const ACTIONS = {
  [State.WAITING]: ["pause", "Pause", "pause"], [State.SENDING]: ["pause", "Pause", "pause"], [State.PAUSED]: ["play", "Resume", "resume"],
  [State.FAILED]: ["retry", "Retry", "resume"], [State.NEEDS_FILE]: ["folder", "Choose again", "choose"],
};
const ENDS = new Set([State.REFUSED, State.REJECTED]);

export class Row {
  #shown = {}; // what was set last, by name: only changes touch the page

  /** `act(name, upload)` does pause, resume, choose, wake, cancel or dismiss. */
  constructor(upload, act) {
    this.state = h("span", { class: "upload-state" });
    this.name = h("span", { class: "upload-name" });
    this.bar = h("span", {});
    this.progress = h("span", { class: "progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": `Upload of ${upload.name}` }, this.bar);
    this.steps = h("span", { class: "upload-steps", "aria-hidden": "true" });
    this.note = h("span", { class: "upload-note" });
    this.wake = h("button", { type: "button", class: "icon-button", on: { click: () => act("wake", upload) } }, icon("retry", { label: `Try ${upload.name} now` }));
    this.main = h("button", { type: "button", class: "icon-button", on: { click: () => act(this.#shown.action, upload) } });
    this.end = h("button", { type: "button", class: "icon-button", on: { click: () => act(ENDS.has(upload.state) ? "dismiss" : "cancel", upload) } });
    const actions = h("span", { class: "upload-actions" }, this.wake, this.main, this.end);
    this.element = h("li", { class: "upload", dataset: { id: upload.id } }, this.state, this.name, this.progress, this.steps, this.note, actions);
    this.update(upload);
  }

  update(upload) {
    const { state } = upload;
    this.#set("state", state, () => {
      const [image, word] = STATES[state];
      this.element.dataset.state = state;
      this.state.replaceChildren(icon(image, { label: word }));
      this.state.title = word;
      this.#updateActions(upload);
    });
    this.#set("link", state === State.READY || state === State.REJECTED ? upload.fileId : null, (id) => this.#updateName(upload, id));
    this.#set("percent", percentOf(upload), (percent) => {
      this.progress.setAttribute("aria-valuenow", percent);
      this.bar.style.transform = `scaleX(${percent / 100})`;
    });
    this.#set("bar", ![State.SENDING, State.PAUSED, State.WAITING, State.NEEDS_FILE, State.NEEDS_PERMISSION].includes(state), (hidden) => { this.progress.hidden = hidden; });
    this.#set("note", noteOf(upload), (text) => { this.note.textContent = text; });
    this.#set("duplicate", upload.duplicateOf, (id) => this.#updateDuplicate(id));
    this.#set("waits", Boolean(upload.wait), (waits) => { this.wake.hidden = !waits; });
    this.#updateSteps(upload);
  }

  #set(name, value, apply) {
    if (this.#shown[name] === value && name in this.#shown) return;
    this.#shown[name] = value;
    apply(value);
  }

  #updateName({ name, path }, fileId) {
    const text = path || name;
    this.name.title = text;
    this.name.replaceChildren(fileId ? h("a", { href: urlOf(`/f/${fileId}`) }, text) : text);
  }

  #updateActions({ state, name }) {
    const [image, label, action] = ACTIONS[state] ?? [];
    const hadFocus = document.activeElement === this.main;
    this.#shown.action = action;
    this.main.hidden = !action;
    if (action) this.main.replaceChildren(icon(image, { label: `${label} ${name}` }));
    if (action) this.main.title = label;
    const end = ENDS.has(state) ? "Dismiss" : "Cancel";
    this.end.hidden = [State.PROCESSING, State.READY].includes(state);
    this.end.title = end;
    this.end.replaceChildren(icon("cancel", { label: `${end} ${name}` }));
    if (hadFocus && !action && !this.end.hidden) this.end.focus();
  }

  #updateDuplicate(id) {
    this.duplicate?.remove();
    if (!id) return;
    this.duplicate = h("span", { class: "upload-duplicate" }, "You already have this file: ", h("a", { href: urlOf(`/f/${id}`) }, "open the earlier one"));
    this.note.after(this.duplicate);
  }

  /** One mark for each step of the processing; the note says the same in words. */
  #updateSteps({ state, processing }) {
    const steps = state === State.PROCESSING ? processing?.steps ?? [] : [];
    this.#set("steps", steps.map((step) => step.state).join(), () => {
      this.steps.hidden = !steps.length;
      this.steps.replaceChildren(...steps.map(({ name, state: mark }) => h("i", { dataset: { state: mark }, title: `${name.replaceAll("_", " ")}: ${mark}` })));
    });
  }
}
