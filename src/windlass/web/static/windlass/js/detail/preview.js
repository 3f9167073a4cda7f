// The preview of a file by its kind.

import { h } from "../dom.js";
import { bytes, kindOf } from "../format.js";
import { icon } from "../icons.js";
import { bytesOf, renditionOf } from "../files/paths.js";
import { isServed } from "../files/words.js";
import { archiveView } from "./archive.js";
import { imageView } from "./image.js";
import { pagesView } from "./pages.js";
import { recordingView } from "./recording.js";
import { extractedTextView, tableView, textView } from "./text.js";

/** Images that every browser of the last years shows. */
const SHOWN = new Set(["image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml", "image/vnd.microsoft.icon"]);
const LARGEST_IMAGE = 40 << 20; // bytes; of a larger one the thumbnail is shown first
const TABLES = new Set(["text/csv", "text/tab-separated-values"]);

/** What the preview depends on: it is drawn again when this changes. */
export const previewKey = (file) => JSON.stringify([isServed(file), file.mime_type, file.checksum, file.renditions.map(({ name, size }) => [name, size])]);

/** An element, or null where there is nothing to show. Throws Problem and Unreachable. */
export async function previewOf(file) {
  if (!isServed(file)) return null;
  switch (kindOf(file.mime_type)) {
    case "image": return pictureOf(file);
    case "video": return recordingView(file, "video");
    case "audio": return recordingView(file, "audio");
    case "spreadsheet": return TABLES.has(file.mime_type) ? tableView(file) : documentOf(file);
    case "text":
    case "code": return textView(file);
    case "archive": return archiveView(file);
    default: return documentOf(file);
  }
}

function pictureOf(file) {
  const shown = SHOWN.has(file.mime_type);
  const original = () => imageView(bytesOf(file.id), file.original_filename);
  if (shown && file.size <= LARGEST_IMAGE) return original();
  const thumbnail = largestThumbnail(file);
  if (!thumbnail) return shown ? original() : null;
  const view = h("div", { class: "stack" }, imageView(renditionOf(file.id, thumbnail.name), file.original_filename));
  const load = h("button", { class: "button quiet", type: "button", on: { click: () => view.replaceChildren(original()) } }, `Show the original (${bytes(file.size)})`);
  view.append(shown ? load : h("p", { class: "soft small" }, "Browsers do not show this type. This is its preview; download the file for the original."));
  return view;
}

/** The pages of a document, else its thumbnail, and the text that was found in it; null without all of them. */
async function documentOf(file) {
  const thumbnail = largestThumbnail(file);
  const text = file.renditions.find(({ name }) => name === "text");
  const parts = [
    pagesView(file) ?? (thumbnail && h("img", { class: "page", alt: `First page of ${file.original_filename}`, width: thumbnail.width, height: thumbnail.height, src: renditionOf(file.id, thumbnail.name) })),
    text && await extractedTextView(file, text),
  ].filter(Boolean);
  return parts.length ? h("div", { class: "stack" }, parts) : null;
}

/** Where there is no preview. */
export function noPreview(file) {
  return h("div", { class: "empty no-preview" }, icon(kindOf(file.mime_type ?? file.declared_mime_type)), h("p", {}, isServed(file) ? "There is no preview of this kind of file." : "There is no preview of a file that is not in service."));
}

function largestThumbnail(file) {
  const thumbnails = file.renditions.filter(({ name }) => name.startsWith("thumbnail"));
  return thumbnails.sort((one, other) => (other.width ?? 0) - (one.width ?? 0))[0] ?? null;
}
