// What the search finds in the texts of files, above the list of those whose names or facts match.

import { getJson, urlOf } from "../api.js";
import { announce, h, query, queryAll } from "../dom.js";
import { count } from "../format.js";
import { pageOf } from "../files/paths.js";
import { textQuery } from "./view.js";

const MOST = 5;

export class TextMatches {
  #section;
  #asked = null; // stops the request that is no longer of interest

  /** `section` is hidden while there is nothing to show. */
  constructor(section) {
    this.#section = section;
  }

  /** Show what is found for a view. An error hides it: the list says what went wrong. */
  async show(view) {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const parameters = textQuery(view, MOST);
    const found = parameters ? await this.#load(parameters, asked.signal) : [];
    if (asked !== this.#asked) return;
    query("ol", this.#section).replaceChildren(...found.map(item));
    this.#section.hidden = !found.length;
    if (found.length) announce(`Found in the texts of ${count(found.length, "file")}.`);
  }

  /** Take a file out whose text is gone. */
  remove(id) {
    const items = queryAll("li", this.#section);
    items.find(({ dataset }) => dataset.id === id)?.remove();
    if (items.every(({ dataset }) => dataset.id === id)) this.#section.hidden = true;
  }

  async #load(parameters, signal) {
    try {
      const { results } = await getJson(urlOf(`/search/?${parameters}`), undefined, signal);
      return results.filter(({ passages }) => passages.length);
    } catch (error) {
      if (error.name === "AbortError" || error.status || error.isTransient) return [];
      throw error;
    }
  }
}

function item({ file, name, passages: [best] }) {
  const page = best.page && file.page_count !== 1 ? ` · page ${best.page}` : "";
  return h("li", { class: "text-match", dataset: { id: file.id } },
    h("a", { href: pageOf(file.id) }, marked(name)), h("span", { class: "soft small" }, page),
    h("p", { class: "small" }, marked(best.snippet)),
  );
}

const marked = (parts) => parts.map(({ text, match }) => (match ? h("mark", {}, text) : text));
