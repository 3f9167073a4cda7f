// The facts of a file in words: [label, value] pairs of its record.

import { bytes, count, dateTime, duration, rate, typeLabel } from "../format.js";

const yes = (text) => (value) => (value ? text : null);
const number = (value) => value.toLocaleString("en");
const moment = (value) => (/^\d{4}-\d\d-\d\dT/.test(value) ? dateTime(value) : value);
const list = (value) => value.join(", ");
const bits = (value) => `${rate(value / 8)} (${number(Math.round(value / 1000))} kbit/s)`;

/** Facts in the order in which they are shown. A value that a function returns null for is left out. */
const LABELS = {
  title: ["Title"], author: ["Author"], subject: ["Subject"], keywords: ["Keywords"], date: ["Sent", moment], recipients: ["Recipients", number],
  attachments: ["Attachments", number], attachment_names: ["Attached files", list], slides: ["Slides", number], sheets: ["Sheets", number],
  sheet_names: ["Names of the sheets", list], language: ["Language"], created_at: ["Created, as the file says", moment], created: ["Created, as the file says", moment],
  modified_at: ["Changed, as the file says", moment], modified: ["Changed, as the file says", moment], creator: ["Made with"], application: ["Made with"], producer: ["PDF made by"],
  pdf_version: ["PDF version"], form: ["Form"], form_fields: ["Form fields", number], signatures: ["Digital signatures, not verified", number],
  encrypted: ["Password", yes("needed to read it")], restricted: ["Restrictions", yes("printing, copying or editing needs a password")],
  has_javascript: ["Scripts", yes("it contains scripts that run when it is opened")], has_macros: ["Macros", yes("it contains macros")],
  has_text: ["Text", (value) => (value ? "yes" : "none: it may be a scan")],
  video_codec: ["Video codec"], audio_codec: ["Audio codec"], container: ["Container"], bitrate: ["Bit rate", bits], fps: ["Frames per second", number],
  channels: ["Audio channels", number], sample_rate: ["Sample rate", (value) => `${number(value)} Hz`], rotation: ["Rotation", (value) => (value ? `${value}°` : null)],
  hdr: ["High dynamic range", (value) => value.toUpperCase()], chapters: ["Chapters", (value) => count(Array.isArray(value) ? value.length : value, "chapter")],
  image_format: ["Image format"], color_space: ["Color space"], color_profile: ["Color profile"], bit_depth: ["Bits per channel", number], has_alpha: ["Transparency", yes("yes")],
  dpi: ["Dots per inch", number], frames: ["Frames", number],
  entries: ["Entries", number], unpacked_size: ["Unpacked", bytes], archive_ratio: ["Ratio of unpacked to packed", (value) => `${number(Number(value.toFixed(1)))} to 1`],
  largest_entry: ["Largest entry", bytes], nested_archives: ["Archives in it", (value) => (value ? number(value) : null)], unsafe_names: ["Unsafe names", (value) => (value ? number(value) : null)],
  archive_damaged: ["Damage"], archive_contradiction: ["Contradiction"], archive_not_measured: ["Not measured"],
  encoding: ["Character encoding"], newline: ["Line ends"], lines: ["Lines", number], words: ["Words", number], characters: ["Characters", number],
  delimiter: ["Delimiter", (value) => ({ ",": "comma", ";": "semicolon", "\t": "tab" })[value] ?? value], columns: ["Columns", number], rows: ["Rows", number],
  json_kind: ["JSON"], json_error: ["JSON error"], text_characters: ["Text found", (value) => count(value, "character")], text_cut: ["Text is incomplete"],
  ocr_pages: ["Pages with recognized text", number], pages_without_text: ["Pages without text", (value) => (Array.isArray(value) ? value.length : value)],
  scanned: ["Malware scan", (value) => (value ? "read as a whole, nothing found" : "could not read the whole file")], also: ["Can also be read as", (value) => (Array.isArray(value) ? value.map((type) => typeLabel(type)).join(", ") : value)],
};

const CAMERA = {
  taken_at: ["Taken", moment], make: ["Camera make"], model: ["Camera"], lens: ["Lens"], exposure_seconds: ["Exposure", (value) => (value < 1 ? `1/${Math.round(1 / value)} s` : `${value} s`)],
  aperture: ["Aperture", (value) => `f/${value}`], iso: ["ISO", number], focal_length_mm: ["Focal length", (value) => `${value} mm`], artist: ["Artist"], copyright: ["Copyright"], software: ["Software"],
};
const TAGS = { title: ["Title"], artist: ["Artist"], album: ["Album"], albumartist: ["Album artist"], composer: ["Composer"], genre: ["Genre"], date: ["Date"], tracknumber: ["Track"], comment: ["Comment"] };

/** What is known of the file, as [label, text] pairs: first what every file has, then what its kind has. */
export function factsOf(file) {
  const { exif = {}, tags = {}, location, ...others } = file.extra_attributes;
  return [
    ["Type", typeLabel(file.mime_type ?? file.declared_mime_type, file.original_filename) + (file.mime_type ? ` (${file.mime_type})` : "")],
    ["Size", file.size < 1024 ? count(file.size, "byte") : `${bytes(file.size)} (${count(file.size, "byte")})`],
    file.width && ["Dimensions", `${number(file.width)} × ${number(file.height)} pixels`],
    file.duration && ["Duration", duration(file.duration)],
    file.page_count && ["Pages", number(file.page_count)],
    ...said(exif, CAMERA),
    location && ["Place", `${location.latitude.toFixed(5)}, ${location.longitude.toFixed(5)}`],
    ...said(tags, TAGS),
    ...said(others, LABELS),
    ["Uploaded", dateTime(file.created_at)],
    file.expires_at && ["Deleted by itself on", dateTime(file.expires_at)],
    file.reference && ["Reference", file.reference],
    ["Profile", file.profile],
    ...Object.entries(file.metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  ].filter(Boolean);
}

function said(facts, labels) {
  return Object.entries(labels).map(([name, [label, text = String]]) => {
    const value = facts[name];
    const shown = value === undefined || value === null || value === "" ? null : text(value);
    return shown === null ? null : [label, shown];
  });
}
