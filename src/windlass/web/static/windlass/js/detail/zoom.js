// Zoom for what a frame contains: buttons, the wheel with Ctrl, a double click, the keys + - 0; dragging and the arrow keys move it.

import { h } from "../dom.js";
import { icon } from "../icons.js";

const STEP = 1.4;
const LARGEST = 8;

/**
 * Let the visitor zoom. `frame` scrolls what it contains, `fitted()` is the scale at which that fits into it, and `show(scale)`
 * shows it at a scale, or so that it fits (null). Returns {controls, refresh}: the buttons, and a function that shows it again,
 * for example once its size is known.
 */
export function zoomable(frame, { fitted, show }) {
  const figure = h("span", { class: "zoom-scale small soft", role: "status" });
  let scale = null; // null: fits into the frame

  function zoom(to, at = null) {
    const box = frame.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left, at.clientY - box.top] : [box.width / 2, box.height / 2];
    const [left, top] = [(frame.scrollLeft + x) / frame.scrollWidth, (frame.scrollTop + y) / frame.scrollHeight];
    scale = to === null || to <= fitted() ? null : Math.min(LARGEST, to);
    show(scale);
    frame.classList.toggle("zoomed", scale !== null);
    frame.scrollTo(left * frame.scrollWidth - x, top * frame.scrollHeight - y);
    figure.textContent = `${Math.round((scale ?? fitted()) * 100)} %`;
  }

  const closer = (at) => zoom((scale ?? fitted()) * STEP, at);
  const farther = (at) => zoom((scale ?? fitted()) / STEP, at);
  frame.addEventListener("dblclick", (event) => zoom(scale === null ? Math.max(1, fitted() * 2) : null, event));
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
  const controls = h("div", { class: "line zoom-controls" }, button("zoom-out", "Zoom out", () => farther()), button("zoom-in", "Zoom in", () => closer()), whole, figure);
  return { controls, refresh: () => zoom(scale) };
}

function letDrag(frame) {
  frame.addEventListener("pointerdown", (down) => {
    if (down.pointerType !== "mouse" || !frame.classList.contains("zoomed")) return; // fingers scroll by themselves
    const [left, top] = [frame.scrollLeft + down.clientX, frame.scrollTop + down.clientY];
    const move = (event) => frame.scrollTo(left - event.clientX, top - event.clientY);
    frame.setPointerCapture(down.pointerId);
    frame.addEventListener("pointermove", move);
    frame.addEventListener("lostpointercapture", () => frame.removeEventListener("pointermove", move), { once: true });
  });
}
