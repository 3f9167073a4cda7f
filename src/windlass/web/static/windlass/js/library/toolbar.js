// The controls of the library: search, filters, order, layout, trash.

import { query, queryAll } from "../dom.js";
import { whoAmI } from "../session.js";
import { isFiltered, rememberLayout, withoutFilters } from "./view.js";

const TYPING = 250; // milliseconds after the last key

/** `section` contains the controls; `change(view, {typing})` is called with each new view. */
export class Toolbar {
  #section;
  #view;
  #change;

  constructor(section, view, change) {
    this.#section = section;
    this.#change = change;
    this.show(view);
    this.#listen();
    this.#offerOwners();
  }

  /** Set the controls as a view has it. */
  show(view) {
    this.#view = view;
    const find = (selector) => query(selector, this.#section);
    for (const control of this.#controls()) if (control !== document.activeElement) control.value = view[control.name];
    for (const button of queryAll("[data-layout-choice]", this.#section)) button.setAttribute("aria-pressed", button.dataset.layoutChoice === view.layout);
    find("#trash-toggle")?.setAttribute("aria-pressed", view.trash);
    find("#library-title").textContent = view.trash ? "Trash" : "Library";
    find("#clear-filters").hidden = !isFiltered(view);
    if (isFiltered({ ...view, q: "" })) this.#openFilters(true);
  }

  #openFilters(open) {
    query("#library-filters", this.#section).hidden = !open;
    query("#filter-toggle", this.#section).setAttribute("aria-expanded", open);
  }

  #controls() {
    return queryAll("input[name], select[name]", this.#section);
  }

  #listen() {
    let timer;
    const change = (changes, options) => {
      clearTimeout(timer);
      this.#change({ ...this.#view, ...changes }, options);
    };
    for (const control of this.#controls()) {
      if (control.type === "search" || control.name === "owner") {
        control.addEventListener("input", () => {
          clearTimeout(timer);
          timer = setTimeout(() => change({ [control.name]: control.value.trim() }, { typing: true }), TYPING);
        });
      } else control.addEventListener("change", () => change({ [control.name]: control.value }));
    }
    for (const button of queryAll("[data-layout-choice]", this.#section)) {
      button.addEventListener("click", () => {
        rememberLayout(button.dataset.layoutChoice);
        change({ layout: button.dataset.layoutChoice }, { typing: true });
      });
    }
    query("#trash-toggle", this.#section)?.addEventListener("click", () => change({ trash: !this.#view.trash }));
    query("#filter-toggle", this.#section).addEventListener("click", ({ currentTarget }) => this.#openFilters(currentTarget.getAttribute("aria-expanded") !== "true"));
    query("#clear-filters", this.#section).addEventListener("click", () => {
      change(withoutFilters(this.#view));
      query("#library-search", this.#section).focus();
    });
  }

  /** Staff see everybody's files, and may ask for those of one owner. */
  async #offerOwners() {
    const visitor = await whoAmI().catch(() => null);
    query("#owner-field", this.#section).hidden = !visitor?.staff;
  }
}
