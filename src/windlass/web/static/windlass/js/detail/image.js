// A picture with zoom.

import { h } from "../dom.js";
import { zoomable } from "./zoom.js";

export function imageView(address, label) {
  const image = h("img", { class: "zoom-image", src: address, alt: label, draggable: false });
  const frame = h("div", { class: "zoom-frame", tabIndex: 0, role: "group", "aria-label": "Picture; the keys + and - zoom" }, image);
  const fitted = () => Math.min(1, frame.clientWidth / image.naturalWidth, parseFloat(getComputedStyle(frame).maxHeight) / image.naturalHeight) || 1;

  function show(scale) {
    frame.style.height = scale === null ? "" : `${frame.getBoundingClientRect().height}px`;
    image.style.width = scale === null ? "" : `${image.naturalWidth * scale}px`;
  }

  const { controls, refresh } = zoomable(frame, { fitted, show });
  image.addEventListener("load", refresh);
  return h("div", { class: "zoom" }, frame, controls);
}
