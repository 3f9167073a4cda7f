// What is in an archive: the server's list of it. Of a ZIP that was processed before there were lists, the directory, which stands at its end, is fetched.

import { h } from "../dom.js";
import { bytes, count } from "../format.js";
import { readRange, readRendition } from "./bytes.js";

const TAIL = 65557; // the end record with the longest comment
const LARGEST_DIRECTORY = 2 << 20;
const SHOWN = 1000;
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LARGEST_LIST = 4 << 20;
const ZIPS = new Set(["application/zip", "application/java-archive"]);

/** The table of the entries; null where there is no list, and no directory that is read here. */
export async function archiveView(file) {
  const listing = (await readList(file)) ?? (ZIPS.has(file.mime_type) ? await readDirectory(file) : null);
  if (!listing) return null;
  const { entries, total } = listing;
  const row = ({ name, size, kind }) => h("tr", {}, h("td", { class: "mono" }, name), h("td", { class: "number" }, kind === "file" ? bytes(size) : kind === "link" ? "link" : ""));
  return h("div", { class: "stack" },
    h("div", { class: "table-view", tabIndex: 0, role: "region", "aria-label": "Contents of the archive" },
      h("table", { class: "table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name"), h("th", { scope: "col", class: "number" }, "Size"))),
        h("tbody", {}, entries.slice(0, SHOWN).map(row)))),
    entries.length > SHOWN || total > entries.length ? h("p", { class: "soft small" }, `The first ${Math.min(SHOWN, entries.length)} of ${count(total, "entry", "entries")} are shown.`) : null);
}

async function readList(file) {
  const contents = file.renditions.find(({ name }) => name === "contents");
  if (!contents || contents.size > LARGEST_LIST) return null;
  return JSON.parse((await readRendition(file, contents, LARGEST_LIST)).text);
}

async function readDirectory(file) {
  const start = Math.max(0, file.size - TAIL);
  const tail = await readRange(file, start, file.size);
  if (!tail) return null;
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.length - 22;
  while (at >= 0 && view.getUint32(at, true) !== END) at -= 1;
  if (at < 0) return null;
  const [total, size, offset] = [view.getUint16(at + 10, true), view.getUint32(at + 12, true), view.getUint32(at + 16, true)];
  if (offset === 0xffffffff || total === 0xffff || offset + size > start + at) return null; // ZIP64, or bytes in front of the archive
  const end = offset + Math.min(size, LARGEST_DIRECTORY);
  const directory = offset >= start ? tail.subarray(offset - start, end - start) : await readRange(file, offset, end);
  return directory && { entries: parseEntries(directory), total };
}

function parseEntries(directory) {
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const entries = [];
  for (let at = 0; at + 46 <= directory.length && view.getUint32(at, true) === ENTRY;) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    if (at + 46 + nameLength > directory.length) break;
    const name = decode(directory.subarray(at + 46, at + 46 + nameLength));
    entries.push({ name, size: view.getUint32(at + 24, true), kind: name.endsWith("/") ? "directory" : "file" });
    at += 46 + nameLength + extraLength + commentLength;
  }
  return entries;
}

function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
