// Shows the part of a long list that is on the screen. Items have one height, so that places are computed, not measured.

const ROW_HEIGHT = 64; // of the list; library.css has the same
const TILE_WIDTH = 168; // at least
const TILE_TEXT = 76;
const GAP = 12;
const BEYOND = 600; // pixels above and below the screen that have their items, too

/**
 * `list` is the element; `source` has count(), at(index) → file or null, create(), update(element, file, index) and
 * needs(from, to), which is told the places on the screen after each change.
 */
export class Viewport {
  #list;
  #source;
  #elements = new Map(); // key → element
  #spare = []; // elements that left the screen: filling one again is quicker than making one
  #layout = "list";
  #shape = { columns: 1, width: 0, height: ROW_HEIGHT };
  #frame = 0;

  constructor(list, source) {
    this.#list = list;
    this.#source = source;
    addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => { this.#measure(); this.schedule(); }).observe(list);
  }

  get columns() {
    return this.#shape.columns;
  }

  setLayout(layout) {
    this.#layout = layout;
    this.#list.dataset.layout = layout;
    this.clear();
    this.#measure();
  }

  /** Forget all elements. */
  clear() {
    for (const element of this.#elements.values()) element.remove();
    this.#elements.clear();
  }

  /** Draw before the next frame. */
  schedule() {
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  /** The element of a file that is on the screen, or undefined. */
  element(id) {
    return this.#elements.get(id);
  }

  /** Pixels from the top of the list to the top of the screen; negative while the list begins on the screen. */
  get offset() {
    return -this.#list.getBoundingClientRect().top;
  }

  /** Scroll so that the place is on the screen. */
  reveal(index) {
    const { columns, height } = this.#shape;
    const top = Math.floor(index / columns) * (height + this.#gap);
    const [above, below] = [this.offset + 72, this.offset + innerHeight - 96]; // bars cover the rest
    if (top < above) scrollBy(0, top - above);
    else if (top + height > below) scrollBy(0, top + height - below);
    this.draw();
  }

  scrollToOffset(offset) {
    this.draw(); // the list has its height
    scrollTo(0, this.#list.getBoundingClientRect().top + scrollY + offset);
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const count = this.#source.count();
    const { columns, width, height } = this.#shape;
    const line = height + this.#gap;
    const rows = Math.ceil(count / columns);
    this.#list.style.height = `${Math.max(0, rows * line - this.#gap)}px`;
    const offset = this.offset;
    const from = Math.min(count, Math.max(0, Math.floor((offset - BEYOND) / line)) * columns);
    const to = Math.min(count, Math.max(0, Math.ceil((offset + innerHeight + BEYOND) / line)) * columns);

    const wanted = new Map();
    for (let index = from; index < to; index += 1) wanted.set(this.#source.at(index)?.id ?? index, index);
    this.#keepFocused(wanted);
    for (const [key, element] of this.#elements) {
      if (wanted.has(key)) continue;
      element.remove();
      this.#elements.delete(key);
      this.#spare.push(element);
    }
    let follows = this.#list.firstElementChild;
    for (const [key, index] of [...wanted].sort((one, other) => one[1] - other[1])) {
      const file = this.#source.at(index);
      let element = this.#elements.get(key);
      if (!element) this.#elements.set(key, (element = this.#spare.pop() ?? this.#source.create()));
      this.#source.update(element, file, index);
      this.#place(element, (index % columns) * (width + GAP), Math.floor(index / columns) * line);
      if (element === follows) follows = follows.nextElementSibling;
      else this.#list.insertBefore(element, follows);
    }
    this.#source.needs(from, to);
  }

  #place(element, x, y) {
    const { width, height } = this.#shape;
    const place = `${x} ${y} ${width} ${height}`;
    if (element.dataset.place === place) return;
    element.dataset.place = place;
    Object.assign(element.style, { transform: `translate(${x}px, ${y}px)`, width: `${width}px`, height: `${height}px` });
  }

  /** The item that has the focus stays, wherever the list is scrolled to: else the focus would be lost. */
  #keepFocused(wanted) {
    const focused = document.activeElement?.closest?.("li");
    for (const [key, element] of this.#elements) {
      if (element !== focused || wanted.has(key)) continue;
      const index = this.#source.indexOf(key);
      if (index >= 0) wanted.set(key, index);
    }
  }

  get #gap() {
    return this.#layout === "grid" ? GAP : 0;
  }

  #measure() {
    const whole = this.#list.clientWidth;
    if (this.#layout !== "grid") {
      this.#shape = { columns: 1, width: whole, height: ROW_HEIGHT };
      return;
    }
    const columns = Math.max(2, Math.floor((whole + GAP) / (TILE_WIDTH + GAP)));
    const width = Math.floor((whole - (columns - 1) * GAP) / columns);
    this.#shape = { columns, width, height: Math.round(width * 0.72) + TILE_TEXT };
  }
}
