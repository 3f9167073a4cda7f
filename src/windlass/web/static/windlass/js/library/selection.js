// The selected files: by id, with their records, which may have scrolled out of the list.

export class Selection {
  #files = new Map();
  #anchor = null; // id of the file from which Shift extends
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  get files() {
    return [...this.#files.values()];
  }

  get size() {
    return this.#files.size;
  }

  has(id) {
    return this.#files.has(id);
  }

  toggle(file) {
    if (!this.#files.delete(file.id)) this.#files.set(file.id, file);
    this.#anchor = file.id;
    this.#changed();
  }

  /** Select from the anchor to this file, as `collection` is sorted. */
  extend(file, collection) {
    const [from, to] = [collection.indexOf(this.#anchor), collection.indexOf(file.id)].sort((one, other) => one - other);
    if (from < 0) return this.toggle(file);
    for (let index = from; index <= to; index += 1) {
      const each = collection.at(index);
      if (each) this.#files.set(each.id, each);
    }
    this.#changed();
  }

  set(files) {
    this.#files = new Map(files.map((file) => [file.id, file]));
    this.#changed();
  }

  clear() {
    if (!this.size) return;
    this.#files.clear();
    this.#changed();
  }

  update(file) {
    if (this.#files.has(file.id)) this.#files.set(file.id, file);
  }

  remove(id) {
    if (this.#files.delete(id)) this.#changed();
  }
}
