// A picture with zoom: buttons, the wheel with Ctrl, a double click, the keys + - 0; dragging and the arrow keys move it.

import { h } from "../dom.js";
import { icon } from "../icons.js";

const STEP = 1.4;
const LARGEST = 8;

export function imageView(address, label) {
  const image = h("img", { class: "zoom-image", src: address, alt: label, draggable: false });
  const frame = h("div", { class: "zoom-frame", tabIndex: 0, role: "group", "aria-label": "Picture; the keys + and - zoom" }, image);
  const figure = h("span", { class: "zoom-scale small soft", role: "status" });
  let scale = null; // null: fits into the frame

  const fitted = () => Math.min(1, frame.clientWidth / image.naturalWidth, parseFloat(getComputedStyle(frame).maxHeight) / image.naturalHeight) || 1;

  function zoom(to, at = null) {
    const before = scale ?? fitted();
    scale = to === null || to <= fitted() ? null : Math.min(LARGEST, to);
    const box = frame.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left, at.clientY - box.top] : [box.width / 2, box.height / 2];
    const [left, top] = [(frame.scrollLeft + x) / before, (frame.scrollTop + y) / before];
    frame.style.height = scale === null ? "" : `${box.height}px`;
    image.style.width = scale === null ? "" : `${image.naturalWidth * scale}px`;
    frame.classList.toggle("zoomed", scale !== null);
    if (scale !== null) frame.scrollTo(left * scale - x, top * scale - y);
    figure.textContent = `${Math.round((scale ?? fitted()) * 100)} %`;
  }

  const closer = (at) => zoom((scale ?? fitted()) * STEP, at);
  const farther = (at) => zoom((scale ?? fitted()) / STEP, at);
  image.addEventListener("load", () => zoom(scale));
  image.addEventListener("dblclick", (event) => zoom(scale === null ? Math.max(1, fitted() * 2) : null, event));
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // a pinch on a touchpad is a wheel with Ctrl, too
    event.preventDefault();
    (event.deltaY < 0 ? closer : farther)(event);
  }, { passive: false });
  frame.addEventListener("keydown", (event) => {
    const run = { "+": () => closer(), "=": () => closer(), "-": () => farther(), 0: () => zoom(null) }[event.key];
    if (!run || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    run();
  });
  letDrag(frame);

  const button = (name, text, run) => h("button", { class: "icon-button", type: "button", title: text, on: { click: run } }, icon(name, { label: text }));
  const whole = h("button", { class: "button quiet", type: "button", on: { click: () => zoom(scale === null ? 1 : null) } }, "100 % / fit");
  return h("div", { class: "zoom" }, frame, h("div", { class: "line zoom-controls" }, button("zoom-out", "Zoom out", () => farther()), button("zoom-in", "Zoom in", () => closer()), whole, figure));
}

function letDrag(frame) {
  frame.addEventListener("pointerdown", (down) => {
    if (down.pointerType !== "mouse" || !frame.classList.contains("zoomed")) return; // fingers scroll by themselves
    const [left, top] = [frame.scrollLeft + down.clientX, frame.scrollTop + down.clientY];
    const move = (event) => frame.scrollTo(left - event.clientX, top - event.clientY);
    frame.setPointerCapture(down.pointerId);
    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", () => frame.removeEventListener("pointermove", move), { once: true });
  });
}
