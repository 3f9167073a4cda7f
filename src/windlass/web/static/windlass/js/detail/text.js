// A text, and a table of comma-separated values: their beginning.

import { h } from "../dom.js";
import { bytes, count } from "../format.js";
import { readRendition, readText } from "./bytes.js";

const LIMIT = 256 * 1024;
const ROWS = 500;
const COLUMNS = 50;

export async function textView(file) {
  return textOf(await readText(file, LIMIT), "Text");
}

/** The text that was found in a document. */
export async function extractedTextView(file, rendition) {
  return textOf(await readRendition(file, rendition, LIMIT), "Text of the document");
}

function textOf({ text, cut }, label) {
  return h("div", { class: "stack" },
    h("pre", { class: "text-view", tabIndex: 0, role: "region", "aria-label": label }, text || "The file is empty."),
    cut && h("p", { class: "soft small" }, `The first ${bytes(LIMIT)} are shown. Download the file to see the rest.`));
}

export async function tableView(file) {
  const { text, cut } = await readText(file, LIMIT);
  const delimiter = file.extra_attributes.delimiter ?? (file.mime_type === "text/tab-separated-values" ? "\t" : ",");
  const most = ROWS + 2; // a header, and one that tells that there are more
  const rows = parseTable(text, delimiter, most);
  if (cut && rows.length < most) rows.pop(); // its end may be cut off
  const head = file.extra_attributes.header ? rows.shift() : null;
  const shown = rows.slice(0, ROWS);
  const wide = rows.some((row) => row.length > COLUMNS);
  const cells = (row, tag, props) => row.slice(0, COLUMNS).map((cell) => h(tag, props, cell));
  const table = h("table", { class: "table" },
    head && h("thead", {}, h("tr", {}, cells(head, "th", { scope: "col" }))),
    h("tbody", {}, shown.map((row) => h("tr", {}, cells(row, "td")))));
  const less = cut || rows.length > ROWS || wide;
  return h("div", { class: "stack" },
    h("div", { class: "table-view", tabIndex: 0, role: "region", "aria-label": "Table" }, table),
    less && h("p", { class: "soft small" }, `The first ${count(shown.length, "row")}${wide ? ` and ${COLUMNS} columns` : ""} are shown. Download the file to see the rest.`));
}

/** Rows of a text as RFC 4180 has it, at most `most`. */
export function parseTable(text, delimiter, most) {
  const rows = [];
  let [row, cell, quoted] = [[], "", false];
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || cell) rows.push(row);
    [row, cell] = [[], ""];
  };
  for (let at = text.startsWith("\ufeff") ? 1 : 0; at < text.length && rows.length < most; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; } else quoted = false;
    } else if (character === '"' && !cell) quoted = true;
    else if (character === delimiter) { row.push(cell); cell = ""; } else if (character === "\n") endRow();
    else if (character !== "\r") cell += character;
  }
  if (rows.length < most) endRow();
  return rows;
}
