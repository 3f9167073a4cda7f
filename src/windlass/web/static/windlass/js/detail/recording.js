// Video and audio in the browser's player, which fetches ranges; audio with its waveform.

import { h } from "../dom.js";
import { bytesOf, renditionOf } from "../files/paths.js";
import { readRendition } from "./bytes.js";

const SVG = "http://www.w3.org/2000/svg";
const LARGEST_WAVEFORM = 1 << 20;

/** The preview is a type that every browser plays; without one the file itself is tried. */
export function recordingView(file, kind) {
  const preview = file.renditions.find(({ name }) => name === "preview");
  const player = h(kind, { class: "player", controls: true, preload: "metadata", src: preview ? renditionOf(file.id, preview.name) : bytesOf(file.id) });
  if (kind === "video" && file.thumbnail_url) player.poster = renditionOf(file.id, "thumbnail");
  player.setAttribute("aria-label", file.original_filename);
  const failure = h("p", { class: "notice", hidden: true }, "This browser cannot play the recording. Download it and open it in a player.");
  player.addEventListener("error", () => { failure.hidden = false; player.hidden = true; });
  const view = h("div", { class: "stack" }, player, failure);
  const waveform = file.renditions.find(({ name }) => name === "waveform");
  if (kind === "audio" && waveform) showWaveform(file, waveform, player, view);
  return view;
}

async function showWaveform(file, rendition, player, view) {
  const { text, cut } = await readRendition(file, rendition, LARGEST_WAVEFORM);
  const { data } = cut ? {} : JSON.parse(text);
  if (!data?.length) return;
  const [width, half] = [data.length / 2, data.reduce((most, level) => Math.max(most, Math.abs(level)), 1)];
  const path = Array.from({ length: width }, (_, at) => `M${at + 0.5} ${half - data[2 * at + 1]}V${half - data[2 * at] + 1}`).join("");
  const draw = (name) => {
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("d", path);
    drawn.setAttribute("class", name);
    return drawn;
  };
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${width} ${2 * half}`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true"); // the player tells and sets the time
  picture.setAttribute("class", "waveform");
  const played = draw("waveform-played");
  picture.append(draw("waveform-whole"), played);
  const show = () => { played.style.clipPath = `inset(0 ${100 * (1 - (player.currentTime / player.duration || 0))}% 0 0)`; };
  player.addEventListener("timeupdate", show);
  player.addEventListener("seeked", show);
  picture.addEventListener("click", (event) => { player.currentTime = player.duration * (event.offsetX / picture.clientWidth); });
  show();
  view.prepend(picture);
}
