// The pages of a document, one below the other, with zoom; each picture is fetched when it comes into view.

import { h, queryAll } from "../dom.js";
import { count } from "../format.js";
import { renditionOf } from "../files/paths.js";
import { zoomable } from "./zoom.js";

export const isPage = ({ kind }) => kind === "page";

/** An element, or null where there are no pictures of pages. */
export function pagesView(file) {
  const pages = file.renditions.filter(isPage).map((rendition) => ({ ...rendition, number: Number(rendition.name.split("-")[1]) }));
  if (!pages.length) return null;
  const total = file.page_count ?? pages.length;
  const item = ({ name, number, width, height }) => h("li", {},
    h("img", { class: "page", alt: `Page ${number} of ${file.original_filename}`, width, height, draggable: false, loading: "lazy", decoding: "async", src: renditionOf(file.id, name) }),
    h("p", { class: "soft small" }, `Page ${number} of ${total}`));
  const list = h("ol", { class: "pages" }, pages.sort((one, other) => one.number - other.number).map(item));
  const widest = Math.max(...pages.map(({ width }) => width));
  const frame = h("div", { class: "pages-view", tabIndex: 0, role: "region", "aria-label": "Pages; the keys + and - zoom" }, list);
  const available = () => frame.clientWidth - 2 * parseFloat(getComputedStyle(frame).paddingLeft);
  const fitted = () => Math.min(1, available() / widest);

  function show(scale) {
    const width = (pixels) => (scale === null ? "" : `${pixels * scale}px`);
    list.style.minWidth = width(widest);
    for (const image of queryAll("img", list)) image.style.width = width(image.getAttribute("width"));
  }

  const { controls, refresh } = zoomable(frame, { fitted, show });
  new ResizeObserver(refresh).observe(frame);
  return h("div", { class: "stack" },
    h("div", {}, controls, frame),
    pages.length < total && h("p", { class: "soft small" }, `${pages.length} of ${count(total, "page")} are shown. Download the file to see the rest.`));
}
