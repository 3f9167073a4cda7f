// Plots of the last hour or day.

import { getJson, urlOf } from "../api.js";
import { barChart } from "../charts.js";
import { query, queryAll } from "../dom.js";
import { bytes } from "../format.js";
import { draw, forget } from "./sections.js";

const number = (value) => value.toLocaleString("en");
const CHARTS = [
  { title: "Uploads", value: ({ uploads }) => uploads, format: number },
  { title: "Received", value: (point) => point.bytes, format: bytes },
  { title: "Ready", value: ({ ready }) => ready, format: number, kind: "good" },
  { title: "Rejected", value: ({ rejected }) => rejected, format: number, kind: "warn" },
  { title: "Failed", value: ({ failed }) => failed, format: number, kind: "bad" },
];
let shown = "hour";

export const readThroughput = () => getJson(urlOf("/error-handling/throughput"), { window: shown });

export function drawThroughput({ window, points }) {
  if (window !== shown) return; // the reply to the question before
  draw("throughput", points, () => CHARTS.map(({ title, value, format, kind }) => barChart({ title, format, kind, points: points.map((point) => ({ at: point.at, value: value(point) })) })));
}

/** Let the buttons choose the window. */
export function connectWindows(refresh) {
  for (const choice of queryAll("#throughput [data-window]")) {
    choice.addEventListener("click", async () => {
      shown = choice.dataset.window;
      for (const each of queryAll("#throughput [data-window]")) each.setAttribute("aria-pressed", String(each === choice));
      query("#throughput .body").setAttribute("aria-busy", "true");
      forget("throughput");
      await refresh();
      query("#throughput .body").removeAttribute("aria-busy");
    });
  }
}
