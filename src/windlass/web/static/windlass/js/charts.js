// Small charts as SVG: one bar for each step of time.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, GAP] = [240, 56, 0.2];

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const timeOf = (iso) => new Date(iso).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

/**
 * A figure with a title, the sum, bars, and below them the time of the first and the last step; with the pointer on it, the step's own figure.
 * `points` are {at, value}, the oldest first; `format` makes a text of a value; `kind` is "accent", "good" or "bad".
 */
export function barChart({ title, points, format, kind = "accent" }) {
  const most = Math.max(...points.map(({ value }) => value), 0);
  const sum = points.reduce((total, { value }) => total + value, 0);
  const step = WIDTH / points.length;
  const bars = points.map(({ value }, index) => {
    const height = value === 0 ? 0 : Math.max(1.5, (value / most) * HEIGHT);
    return svg("rect", { x: (index + GAP / 2) * step, y: HEIGHT - height, width: step * (1 - GAP), height });
  });
  const peak = points.find(({ value }) => value === most);
  const summary = most ? `${title}: ${format(sum)} in all, at most ${format(most)} at ${timeOf(peak.at)}.` : `${title}: none.`;
  const baseline = svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT });
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary }, ...bars, baseline);
  const from = h("span", {}, timeOf(points[0].at));
  const readout = h("span", {}, most ? `at most ${format(most)}` : "");
  const axis = h("p", { class: "axis" }, from, readout, h("span", {}, "now"));

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const index = Math.min(points.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * points.length)));
    bars.forEach((bar, number) => bar.classList.toggle("chosen", number === index));
    readout.textContent = `${timeOf(points[index].at)}: ${format(points[index].value)}`;
  });
  plot.addEventListener("pointerleave", () => {
    for (const bar of bars) bar.classList.remove("chosen");
    readout.textContent = most ? `at most ${format(most)}` : "";
  });
  return h("figure", { class: `chart ${kind}` }, h("figcaption", {}, h("span", {}, title), h("strong", {}, format(sum))), plot, axis);
}
