// The library: puts together the view in the address, the files, the part of them on the screen, the selection and live changes.

import { getJson, urlOf } from "../api.js";
import { announce, menu, query, toast } from "../dom.js";
import { bytes, count } from "../format.js";
import { icon } from "../icons.js";
import * as actions from "../files/actions.js";
import { deleteFiles, restoreFiles } from "../files/deletion.js";
import { pageOf, saveOf } from "../files/paths.js";
import { shareLink } from "../files/share.js";
import { isRunning, isServed } from "../files/words.js";
import { follow } from "./changes.js";
import { Collection, FIRST_PAGE } from "./collection.js";
import { createItem, fillItem } from "./item.js";
import { listenToKeys } from "./keys.js";
import { Selection } from "./selection.js";
import { TextMatches } from "./texts.js";
import { Toolbar } from "./toolbar.js";
import { addressOf, DEFAULT_SORT, isFiltered, listQuery, readView, withoutFilters } from "./view.js";
import { Viewport } from "./viewport.js";

const AHEAD = 300; // places before the end at which the next page is fetched, once the visitor moves through the list
const RETRY_SECONDS = 3;
const AT_TOP = 80; // pixels: who has scrolled less sees new files at once

const section = query("#library");
const find = (selector) => query(selector, section);
const list = find("#library-list");
const load = (path) => getJson(path);

class Library {
  view = readView();
  collection = null;
  #selection = new Selection(() => this.#showSelection());
  #progress = new Map(); // id → {percent, message}
  #currentId = null; // the file that Tab reaches
  #saving = 0;
  #isMoving = false; // whether the visitor has moved through the list: many look at its beginning only
  #texts = new TextMatches(find("#library-texts"));

  constructor() {
    this.viewport = new Viewport(list, {
      count: () => this.collection?.length ?? 0,
      at: (index) => this.collection.at(index),
      indexOf: (id) => this.collection.indexOf(id),
      create: createItem,
      update: (element, file, index) => fillItem(element, file, this.#stateOf(file, index)),
      needs: (from, to) => this.#fetch(from, to),
    });
    this.toolbar = new Toolbar(section, this.view, (view, options) => this.show(view, options));
    history.scrollRestoration = "manual";
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("focusin", (event) => this.#focused(event));
    listenToKeys(list, this);
    this.#listenToSelection();
    find("#library-new").addEventListener("click", () => this.#showNew());
    find("#library-retry").addEventListener("click", () => (this.collection.length ? this.viewport.schedule() : this.#open()));
    addEventListener("popstate", () => this.#goBack());
    addEventListener("scroll", () => {
      this.#isMoving = true;
      this.#saving ||= setTimeout(() => this.#savePlace(), 200);
    }, { passive: true });
    addEventListener("pagehide", () => this.#savePlace());
  }

  async start() {
    this.viewport.setLayout(this.view.layout);
    this.live = follow(this);
    await this.#open(history.state?.library);
  }

  /** Show another view. While the visitor types, the address changes without a new entry in the history. */
  show(view, { typing = false } = {}) {
    const other = listQuery(view, 1) !== listQuery(this.view, 1);
    const layout = view.layout !== this.view.layout;
    if (!typing) this.#savePlace();
    this.view = view;
    history[typing ? "replaceState" : "pushState"](null, "", addressOf(view));
    this.toolbar.show(view);
    if (layout) this.#changeLayout();
    if (other) this.#open();
  }

  isTrash() {
    return this.view.trash;
  }

  count() {
    return this.collection.length;
  }

  // ---- Fetching

  /** Show the view from its beginning, or where `place` says that it was left. */
  async #open(place = null) {
    this.#selection.clear();
    this.#progress.clear();
    this.#currentId = null;
    find("#library-new").hidden = true;
    const isBack = place?.query === listQuery(this.view, FIRST_PAGE);
    const first = urlOf(`/files/?${listQuery(this.view, FIRST_PAGE)}`);
    const collection = (this.collection = isBack ? Collection.restored(load, place.collection) : new Collection(load, first));
    this.viewport.clear();
    this.#texts.show(this.view);
    if (isBack && collection.length) {
      this.viewport.scrollToOffset(place.offset);
      if (place.offset < 0) scrollTo(0, place.scroll);
      return void this.#showState();
    }
    section.setAttribute("aria-busy", "true");
    await this.#attempt(() => collection.more());
    if (collection !== this.collection) return;
    section.removeAttribute("aria-busy");
    if (this.viewport.offset > 0) this.viewport.scrollToOffset(-AT_TOP);
    this.#showState();
    if (isFiltered(this.view)) announce(collection.length ? `${count(collection.length, "file")}${collection.isComplete ? "" : " or more"} found.` : "No file was found.");
  }

  async #fetch(from, to) {
    const { collection } = this;
    if (!collection) return;
    const changed = await this.#attempt(async () => {
      const filled = await collection.fill(from, to);
      if (collection.isComplete || to + (this.#isMoving ? AHEAD : 0) < collection.length || !collection.length) return filled;
      await collection.more();
      return true;
    });
    if (changed && collection === this.collection) this.viewport.schedule();
  }

  /** Run a request for the list, which returns whether there was one. Says what went wrong beside the list, with a way to try again. */
  async #attempt(work) {
    try {
      const result = await work();
      if (result) find("#library-error").hidden = true;
      return result;
    } catch (error) {
      find("#library-error-text").textContent = error.message;
      find("#library-error").hidden = false;
      section.removeAttribute("aria-busy");
      // What is on the screen is asked for again; without it the visitor decides.
      if (error.isTransient && this.collection?.length) setTimeout(() => this.viewport.schedule(), 1000 * (error.retryAfter ?? RETRY_SECONDS));
      return false;
    }
  }

  #showState() {
    this.viewport.draw();
    const empty = !this.collection.length && this.collection.isComplete;
    find("#library-empty").hidden = !empty;
    if (!empty) return;
    const filtered = isFiltered(this.view);
    find("#library-empty-text").textContent = filtered ? "No file matches." : this.view.trash ? "The trash is empty." : "Nothing here yet. Files that you upload appear here.";
    find("#library-empty-clear").hidden = !filtered;
  }

  // ---- Where the visitor was

  #savePlace() {
    clearTimeout(this.#saving);
    this.#saving = 0;
    if (!this.collection) return;
    const place = { query: listQuery(this.view, FIRST_PAGE), collection: this.collection.snapshot(), offset: this.viewport.offset, scroll: scrollY };
    history.replaceState({ ...history.state, library: place }, "");
  }

  #goBack() {
    const layout = this.view.layout;
    this.view = readView();
    this.toolbar.show(this.view);
    if (layout !== this.view.layout) this.viewport.setLayout(this.view.layout);
    this.#open(history.state?.library);
  }

  #changeLayout() {
    const index = Math.max(0, this.collection.indexOf(this.#firstShown()));
    this.viewport.setLayout(this.view.layout);
    this.viewport.draw();
    if (index) this.viewport.reveal(index);
  }

  /** The id of the file at the top of the screen. */
  #firstShown() {
    return [...list.children].find((element) => element.getBoundingClientRect().bottom > 0)?.dataset.id;
  }

  // ---- Live changes

  changed(file) {
    if (!isRunning(file)) this.#progress.delete(file.id);
    this.#selection.update(file);
    if (this.collection.update(file)) this.viewport.schedule();
  }

  removed(id) {
    this.#texts.remove(id);
    this.#progress.delete(id);
    this.#selection.remove(id);
    if (this.collection.remove(id) >= 0) this.#showState();
  }

  /** The bytes of a file are deleted, and its text. */
  released(id) {
    this.#texts.remove(id);
  }

  progressed(id, { percent, message }) {
    const before = this.#progress.get(id);
    this.#progress.set(id, { percent, message: message || before?.message || "" });
    if (this.viewport.element(id)) this.viewport.schedule();
  }

  /** Files of the server may belong into this view: fetch its beginning, and show what is new there without moving what is read. */
  async arrived() {
    const { collection } = this;
    if (this.view.sort !== DEFAULT_SORT) return void (find("#library-new").hidden = false);
    const page = await this.#attempt(() => load(urlOf(`/files/?${listQuery(this.view, FIRST_PAGE)}`)));
    if (!page || collection !== this.collection) return;
    const fresh = page.results.filter(({ id }) => !collection.has(id));
    if (!fresh.length) return;
    if (this.viewport.offset > AT_TOP) return void (find("#library-new").hidden = false);
    if (fresh.length === page.results.length && page.next) return void this.#open(); // so many that files between are missing
    collection.prepend(fresh);
    this.#showState();
  }

  #showNew() {
    find("#library-new").hidden = true;
    this.viewport.scrollToOffset(-AT_TOP);
    this.#open();
  }

  connection(state) {
    find("#library-offline").hidden = state !== "retrying";
  }

  // ---- Items

  #stateOf(file, index) {
    const current = this.#currentId === null ? index === 0 : file?.id === this.#currentId;
    return { index, total: this.collection.isComplete ? this.collection.length : -1, selected: Boolean(file && this.#selection.has(file.id)), current, progress: file && this.#progress.get(file.id) };
  }

  #focused(event) {
    const id = event.target.closest("li")?.dataset.id;
    if (!id || id === this.#currentId) return;
    this.#currentId = id;
    this.viewport.schedule();
  }

  #clicked(event) {
    const item = event.target.closest("li");
    const file = item && this.collection.find(item.dataset.id);
    if (!file) return;
    if (event.target.closest(".item-more")) return this.#openMenu(file, event.target.closest(".item-more"));
    const pick = event.target.closest(".item-pick");
    if (pick && event.target.tagName !== "INPUT" && !event.shiftKey) return; // the label clicks its checkbox next
    if (event.ctrlKey || event.metaKey) return; // opens another tab
    if (!pick && !event.shiftKey && !this.#selection.size) return; // follows the link
    if (!pick || event.shiftKey) event.preventDefault();
    if (event.shiftKey) this.#selection.extend(file, this.collection);
    else this.#selection.toggle(file);
  }

  #openMenu(file, button) {
    const items = this.view.trash
      ? [
        { label: "Restore", icon: icon("restore"), run: () => this.#restore([file]) },
        { label: "Delete for good", icon: icon("delete"), run: () => this.#delete([file]) },
      ]
      : [
        { label: "Open", icon: icon("next"), href: pageOf(file.id) },
        isServed(file) && { label: "Download", icon: icon("download"), href: saveOf(file.id), download: file.original_filename },
        isServed(file) && { label: "Copy link…", icon: icon("link"), run: () => shareLink(file) },
        file.status !== "RELEASED" && !isRunning(file) && { label: "Process again", icon: icon("retry"), run: () => this.#reprocess([file]) },
        file.status !== "RELEASED" && { label: "Release…", icon: icon("released"), run: () => this.#release([file]) },
        { label: "Delete", icon: icon("delete"), run: () => this.#delete([file]) },
      ];
    menu(button, items.filter(Boolean));
  }

  // ---- Keyboard

  currentIndex() {
    return this.#currentId === null ? 0 : Math.max(0, this.collection.indexOf(this.#currentId));
  }

  moveTo(index, { extend }) {
    const from = this.collection.at(this.currentIndex());
    this.#isMoving = true;
    this.viewport.reveal(index);
    const file = this.collection.at(index);
    if (!file) return;
    if (extend && from) {
      if (!this.#selection.size) this.#selection.toggle(from);
      this.#selection.extend(file, this.collection);
    }
    this.#currentId = file.id;
    this.viewport.draw();
    query("a", this.viewport.element(file.id))?.focus({ preventScroll: true });
  }

  toggleCurrent() {
    const file = this.collection.at(this.currentIndex());
    if (file) this.#selection.toggle(file);
  }

  /** Select the files that are here; the next time all that match, which are fetched. "Select none" ends that. */
  async selectAll() {
    const { collection } = this;
    const isNext = this.#areAllSelected();
    this.#selection.set(collection.files);
    if (!isNext) return;
    try {
      let more = await collection.fill(0, collection.length);
      while (collection === this.collection && this.#selection.size) {
        if (more) this.#selection.set(collection.files);
        if (!(more = await collection.more())) break;
      }
    } catch (error) {
      toast(error.message, { kind: "bad" });
    }
  }

  /** Whether no file that is here is left to select. */
  #areAllSelected() {
    return this.#selection.size >= this.collection.files.length;
  }

  clearSelection() {
    this.#selection.clear();
  }

  deleteSelected() {
    const files = this.#selection.size ? this.#selection.files : [this.collection.at(this.currentIndex())].filter(Boolean);
    if (files.length) this.#delete(files);
  }

  // ---- Many files

  #listenToSelection() {
    const on = (selector, run) => find(selector).addEventListener("click", run);
    on("#select-none", () => this.clearSelection());
    on("#select-all", () => this.selectAll());
    on("#selected-zip", () => actions.downloadAsZip(this.#selection.files));
    on("#selected-reprocess", () => this.#reprocess(this.#selection.files));
    on("#selected-release", () => this.#release(this.#selection.files));
    on("#selected-delete", () => this.#delete(this.#selection.files));
    on("#selected-restore", () => this.#restore(this.#selection.files));
    on("#library-empty-clear", () => this.show(withoutFilters(this.view)));
  }

  #showSelection() {
    const { size, files } = this.#selection;
    find("#selection-bar").hidden = size === 0;
    const text = `${size.toLocaleString("en")} selected`;
    find("#selection-count").textContent = size ? `${text}, ${bytes(files.reduce((sum, file) => sum + file.size, 0))}` : "";
    query("span", find("#select-all")).textContent = size && !this.collection.isComplete && this.#areAllSelected() ? " that match" : " shown";
    for (const element of section.querySelectorAll("[data-in-trash]")) element.hidden = element.dataset.inTrash !== (this.view.trash ? "yes" : "no");
    if (size) announce(text);
    list.classList.toggle("selecting", size > 0);
    this.viewport.schedule();
  }

  async #reprocess(files) {
    await actions.reprocess(files);
    this.clearSelection();
  }

  async #release(files) {
    const records = await actions.release(files);
    for (const record of records) {
      this.changed(record);
      this.released(record.id);
    }
    if (records.length) this.clearSelection();
  }

  async #restore(files) {
    const restored = await restoreFiles(files);
    for (const { id } of restored) this.removed(id);
    if (restored.length) toast(`${count(restored.length, "file")} restored.`);
  }

  async #delete(files) {
    const { collection } = this;
    const index = this.currentIndex();
    let places;
    const hide = () => {
      this.clearSelection();
      places = collection.hide(files);
      for (const { id } of files) this.#texts.remove(id);
      this.#showState();
      this.#focusNear(index);
    };
    const show = (returned) => {
      const ids = new Set(returned.map(({ id }) => id));
      collection.show(new Map([...places].filter(([file]) => ids.has(file.id))));
      if (collection !== this.collection) return;
      this.#showState();
      this.#texts.show(this.view);
    };
    await deleteFiles(files, { hide, show, permanent: this.view.trash });
  }

  /** The focus goes to the file that took the place of a deleted one, not to the body. */
  #focusNear(index) {
    const file = this.collection.at(Math.min(index, this.collection.length - 1));
    this.#currentId = file?.id ?? null;
    this.viewport.draw();
    if (document.activeElement !== document.body) return;
    (file ? query("a", this.viewport.element(file.id)) : find("#library-search"))?.focus({ preventScroll: true });
  }
}

new Library().start();
