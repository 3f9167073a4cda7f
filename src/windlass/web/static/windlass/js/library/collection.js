// The files of one view, in pages as the server gave them. Pages that are not needed at the moment may be without their files.

export const FIRST_PAGE = 60; // few, so that something is on the screen soon
const PAGE = 150;
const LARGEST_PAGE = 200; // the server's limit
const CHANGED = 20; // files that a page may have gained while it was away

/** A page is {path, count, last, files}: where it comes from, how many files it has, the id of the last one, and the files or null. */
export class Collection {
  #load;
  #pages = [];
  #next;
  #loading = new Map(); // page → promise
  #hidden = new Set(); // ids of files that are about to be deleted

  /** `load` fetches {results, next} of a path; `first` is the path of the first page. */
  constructor(load, first) {
    this.#load = load;
    this.#next = first;
  }

  /** A collection as `snapshot` described it; its files are fetched when they are looked at. */
  static restored(load, { pages, next }) {
    const collection = new Collection(load, next);
    collection.#pages = pages.map((page) => ({ ...page, files: null }));
    return collection;
  }

  snapshot() {
    return { pages: this.#pages.map(({ path, count, last }) => ({ path, count, last })), next: this.#next };
  }

  get length() {
    return this.#pages.reduce((sum, page) => sum + page.count, 0);
  }

  get isComplete() {
    return this.#next === null;
  }

  /** The file at a place, or null while its page is away. */
  at(index) {
    const place = this.#placeOf(index);
    return place?.page.files?.[place.at] ?? null;
  }

  has(id) {
    return this.indexOf(id) >= 0;
  }

  indexOf(id) {
    let before = 0;
    for (const page of this.#pages) {
      const at = page.files?.findIndex((file) => file.id === id) ?? -1;
      if (at >= 0) return before + at;
      before += page.count;
    }
    return -1;
  }

  find(id) {
    for (const page of this.#pages) {
      const file = page.files?.find((each) => each.id === id);
      if (file) return file;
    }
    return null;
  }

  /** All files that are here, in order. */
  get files() {
    return this.#pages.flatMap((page) => page.files ?? []);
  }

  /** Fetch the next page; a promise of whether there was one. Calls at the same time share one request. */
  more() {
    if (this.isComplete) return Promise.resolve(false);
    return this.#once("next", async () => {
      const path = this.#pages.length ? resized(this.#next, PAGE) : this.#next;
      const { results, next } = await this.#load(path);
      this.#pages.push(this.#page(path, results));
      this.#next = next;
      return true;
    });
  }

  /** Fetch the pages of these places that are away. */
  async fill(from, to) {
    const away = this.#pagesBetween(from, to).filter((page) => page.files === null);
    await Promise.all(away.map((page) => this.#once(page, () => this.#refill(page))));
    return away.length > 0;
  }

  /** Put files in front; a first page that is away will have them when it is fetched. Returns how many were new. */
  prepend(files) {
    const added = files.filter(({ id }) => !this.has(id) && !this.#hidden.has(id));
    const first = this.#pages[0];
    if (!added.length || !first?.files) return 0;
    first.files.unshift(...added);
    first.count += added.length;
    first.last ??= added.at(-1).id;
    return added.length;
  }

  /** Replace a file that is here by its newer record. */
  update(file) {
    for (const page of this.#pages) {
      const at = page.files?.findIndex(({ id }) => id === file.id) ?? -1;
      if (at >= 0) {
        page.files[at] = file;
        return true;
      }
    }
    return false;
  }

  /** Take a file out. Returns its place, or -1. */
  remove(id) {
    const index = this.indexOf(id);
    if (index < 0) return -1;
    const { page, at } = this.#placeOf(index);
    page.files.splice(at, 1);
    page.count -= 1;
    return index;
  }

  /** Take files out and keep them out of later pages, until `show`. Returns their places, by file; -1 for a file whose page is away. */
  hide(files) {
    const places = new Map();
    for (const file of files) {
      this.#hidden.add(file.id);
      places.set(file, this.remove(file.id));
    }
    return places;
  }

  /** Put files back where `hide` found them. */
  show(places) {
    for (const [file, index] of [...places].reverse()) {
      this.#hidden.delete(file.id);
      if (index >= 0 && !this.has(file.id)) this.#insert(file, index);
    }
  }

  #insert(file, index) {
    const place = this.#placeOf(index);
    if (place?.page.files) {
      place.page.files.splice(place.at, 0, file);
      place.page.count += 1;
      return;
    }
    const last = this.#pages.at(-1);
    if (!last?.files) return void this.prepend([file]);
    last.files.push(file);
    last.count += 1;
  }

  /** Fetch a page that is away. Where it no longer ends as it did, what follows is forgotten and fetched anew. */
  async #refill(page) {
    const { results, next } = await this.#load(resized(page.path, Math.min(LARGEST_PAGE, page.count + CHANGED)));
    const end = results.findIndex(({ id }) => id === page.last);
    const at = this.#pages.indexOf(page);
    if (at < 0) return;
    if (end >= 0) {
      Object.assign(page, this.#page(page.path, results.slice(0, end + 1)));
    } else {
      Object.assign(page, this.#page(page.path, results));
      this.#pages.length = at + 1;
      this.#next = next;
    }
  }

  #page(path, results) {
    const files = results.filter(({ id }) => !this.#hidden.has(id));
    return { path, files, count: files.length, last: results.at(-1)?.id ?? null };
  }

  #placeOf(index) {
    let before = 0;
    for (const page of this.#pages) {
      if (index < before + page.count) return { page, at: index - before };
      before += page.count;
    }
    return null;
  }

  #pagesBetween(from, to) {
    let before = 0;
    return this.#pages.filter((page) => {
      const [start, end] = [before, before + page.count];
      before = end;
      return start < to && end > from;
    });
  }

  #once(key, work) {
    if (!this.#loading.has(key)) this.#loading.set(key, work().finally(() => this.#loading.delete(key)));
    return this.#loading.get(key);
  }
}

function resized(path, limit) {
  const [resource, search] = path.split("?");
  const query = new URLSearchParams(search);
  query.set("limit", limit);
  return `${resource}?${query}`;
}
