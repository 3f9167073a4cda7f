// The page of a file: its preview, facts, checks, steps and history, live while it is processed.

import { getJson, urlOf } from "../api.js";
import { announce, h, query } from "../dom.js";
import { bytes, typeLabel } from "../format.js";
import { icon } from "../icons.js";
import * as actions from "../files/actions.js";
import { deleteFiles } from "../files/deletion.js";
import { pageOf, recordOf, renditionOf, saveOf } from "../files/paths.js";
import { copyButton, shareLink } from "../files/share.js";
import { isRunning, isServed, statusOf } from "../files/words.js";
import { subscribe } from "../live.js";
import { adviceOf } from "./advice.js";
import { factsOf } from "./facts.js";
import { isPage } from "./pages.js";
import { noPreview, previewKey, previewOf } from "./preview.js";
import { checksView, eventView, stepsView } from "./steps.js";

const section = query("#file");
const find = (selector) => query(selector, section);
const id = section.dataset.fileId;
const TOGETHER = 200; // milliseconds in which events are answered by one request

const UNKNOWN = ["There is no such file", "It may have been deleted, or it belongs to somebody else."];
const ENDINGS = {
  "file.deleted": ["This file is deleted", "It was deleted meanwhile."],
  "file.trashed": ["This file is in the trash", "It was moved there meanwhile."],
};

class FilePage {
  #file = null;
  #drawn = null; // previewKey of the preview that is shown
  #timer = 0;
  #gone = false;
  #ending = ""; // the last event that took the file away

  constructor() {
    this.#listen();
  }

  async start() {
    await this.#load();
    if (this.#file) this.live = subscribe(`/ws/files/${id}`, { onEvent: (event) => this.#heard(event), onState: (state) => this.#connection(state) });
  }

  async #load() {
    this.#timer = 0;
    if (this.#gone) return;
    try {
      const [file, status] = await Promise.all([getJson(recordOf(id)), getJson(`${recordOf(id)}status/`)]);
      if (!this.#gone) this.#show(file, status);
      find("#file-error").hidden = true;
    } catch (error) {
      if (error.status === 404) return this.#showGone(...(ENDINGS[this.#ending] ?? UNKNOWN));
      find("#file-error-text").textContent = error.message;
      find("#file-error").hidden = false;
    }
  }

  #show(file, status) {
    const before = this.#file;
    this.#file = file;
    document.title = `${file.original_filename} – Windlass`;
    find("#file-name").textContent = file.original_filename;
    this.#showStatus(file, status);
    this.#showAdvice(file, status.message);
    this.#showActions(file);
    this.#showFacts(file);
    this.#showRenditions(file);
    find("#file-checks").replaceChildren(...checksView(file));
    find("#file-steps").replaceChildren(...stepsView(status));
    find("#file-body").hidden = false;
    this.#showPreview(file);
    if (before && before.status !== file.status) announce(`${file.original_filename}: ${statusOf(file).word}`);
  }

  #showStatus(file, status) {
    const { word, icon: symbol, tone } = statusOf(file);
    const running = isRunning(file);
    const said = running && status.message ? status.message : word;
    find("#file-status").replaceChildren(h("span", { class: `badge ${tone}` }, icon(symbol), said));
    find("#file-progress").hidden = !running;
    find("#file-progress > span").style.transform = `scaleX(${status.progress / 100})`;
  }

  #showAdvice(file, message) {
    const advice = adviceOf(file, message);
    find("#file-advice").hidden = !advice;
    if (!advice) return;
    find("#advice-title").textContent = advice.title;
    find("#advice-reason").textContent = advice.reason;
    find("#advice-way").textContent = advice.advice;
  }

  #showActions(file) {
    const served = isServed(file);
    const save = find("#file-download");
    save.hidden = !served;
    Object.assign(save, { href: saveOf(id), download: file.original_filename });
    find("#file-link").hidden = !served;
    find("#file-reprocess").hidden = file.status === "RELEASED" || isRunning(file);
    find("#file-release").hidden = file.status === "RELEASED";
  }

  #showFacts(file) {
    const pair = ([label, ...value]) => h("div", {}, h("dt", {}, label), h("dd", {}, ...value));
    const original = file.duplicate_of && ["Same content as", h("a", { href: pageOf(file.duplicate_of) }, "an earlier file")];
    find("#file-facts").replaceChildren(...[
      ...factsOf(file),
      original,
      ["Id", h("span", { class: "mono" }, id), copyButton(id, "Copy the id")],
      file.checksum && ["SHA-256", h("span", { class: "mono" }, file.checksum), copyButton(file.checksum, "Copy the checksum")],
    ].filter(Boolean).map(pair));
  }

  #showRenditions(file) {
    const served = isServed(file) ? file.renditions.filter((rendition) => !isPage(rendition)) : [];
    find("#file-renditions-section").hidden = !served.length;
    find("#file-renditions").replaceChildren(...served.map(({ name, mime_type: type, size, width, height }) => h("li", { class: "line spread" },
      h("span", {}, name, " ", h("span", { class: "soft small" }, [typeLabel(type), width && height && `${width} × ${height}`, bytes(size)].filter(Boolean).join(" · "))),
      h("a", { class: "icon-button", href: `${renditionOf(id, name)}?disposition=attachment`, download: "", title: `Download ${name}` }, icon("download", { label: `Download ${name}` })))));
  }

  async #showPreview(file) {
    const key = previewKey(file);
    if (key === this.#drawn) return;
    this.#drawn = key;
    let view;
    try {
      view = isRunning(file) && !isServed(file) ? h("p", { class: "empty" }, "The preview appears when the file has been checked.") : (await previewOf(file)) ?? noPreview(file);
    } catch (error) {
      view = h("p", { class: "notice bad" }, `The preview cannot be shown: ${error.message}`);
    }
    if (key === this.#drawn) find("#file-preview").replaceChildren(view);
  }

  /** Events from the journal come first, then new ones. */
  #heard(event) {
    if (this.#gone) return;
    const entry = eventView(event);
    if (entry) find("#file-history").prepend(entry);
    // The journal has old events, too: the record tells whether the file is there now.
    if (event.type === "file.deleted" || event.type === "file.trashed") this.#ending = event.type;
    if (event.type === "file.progress") {
      find("#file-progress > span").style.transform = `scaleX(${event.data.progress / 100})`;
    }
    this.#timer ||= setTimeout(() => this.#load(), TOGETHER);
  }

  #connection(state) {
    find("#file-offline").hidden = state !== "retrying";
  }

  #showGone(title, text) {
    this.#gone = true;
    this.live?.close();
    find("#file-body").hidden = true;
    find("#gone-title").textContent = title;
    find("#gone-text").textContent = text;
    find("#file-gone").hidden = false;
    document.title = `${title} – Windlass`;
  }

  #listen() {
    const on = (selector, run) => find(selector).addEventListener("click", run);
    on("#file-link", () => shareLink(this.#file));
    on("#file-retry", () => this.#load());
    on("#file-reprocess", () => this.#reprocess());
    on("#file-release", () => actions.release([this.#file]));
    on("#file-delete", () => this.#delete());
    // Back to where the visitor was in the list.
    on("#file-back", (event) => {
      if (!document.referrer || new URL(document.referrer).pathname !== urlOf("/") || history.length < 2) return;
      event.preventDefault();
      history.back();
    });
  }

  async #reprocess() {
    await actions.reprocess([this.#file]);
    this.#load();
  }

  #delete() {
    const hide = () => this.#showGone("This file is deleted", "");
    const show = ([restored]) => {
      if (!restored) return;
      this.#gone = false;
      find("#file-gone").hidden = true;
      find("#file-history").replaceChildren();
      this.start();
    };
    return deleteFiles([this.#file], { hide, show });
  }
}

new FilePage().start();
