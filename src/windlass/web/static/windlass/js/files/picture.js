// The small picture of a file: its thumbnail, or the icon of its kind.

import { h } from "../dom.js";
import { kindOf } from "../format.js";
import { icon } from "../icons.js";
import { renditionOf } from "./paths.js";

export function smallPicture(file) {
  const symbol = () => icon(kindOf(file.mime_type ?? file.declared_mime_type));
  if (!file.thumbnail_url) return symbol();
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: false, src: renditionOf(file.id, "thumbnail") });
  image.addEventListener("error", () => image.replaceWith(symbol()), { once: true });
  return image;
}
