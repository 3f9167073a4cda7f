// What can be done with files: the same for one and for many, in the library and on a file's page.

import { call, urlOf } from "../api.js";
import { h, openDialog, toast } from "../dom.js";
import { count } from "../format.js";
import { failureText, forEach, nameOf } from "./many.js";
import { recordOf, saveOf } from "./paths.js";
import { isServed } from "./words.js";

/** Files of one ZIP: their ids stand in the address, which is limited to 8 KiB. */
const IN_ONE_ZIP = 200;

/** Let the browser save a file; the page stays. */
export function download(file) {
  save(saveOf(file.id), file.original_filename);
}

export async function downloadAsZip(files) {
  const served = files.filter(isServed);
  if (!served.length) return void toast("None of these files can be downloaded.", { kind: "bad" });
  if (served.length > IN_ONE_ZIP) {
    return void toast(`A ZIP takes ${IN_ONE_ZIP} files; ${count(served.length, "file")} are selected. Download them in parts.`, { kind: "bad" });
  }
  const path = urlOf(`/files/zip/?ids=${served.map(({ id }) => id).join(",")}`);
  try {
    await call("HEAD", path); // a refusal would otherwise be a failed download without a reason
  } catch (error) {
    return void toast(`The ZIP cannot be made: ${error.status === 404 ? "one of the files is gone." : error.message}`, { kind: "bad" });
  }
  save(path, "files.zip");
  const left = files.length - served.length;
  toast(`The ZIP with ${count(served.length, "file")} is being downloaded.${left ? ` ${count(left, "file")} cannot be downloaded and ${left === 1 ? "is" : "are"} left out.` : ""}`);
}

/** Process files again from the start. Returns those that are. */
export async function reprocess(files) {
  const { done, failed } = await forEach(files, ({ id }) => call("POST", `${recordOf(id)}reprocess/`));
  if (failed.length) toast(failureText(failed, "processed again"), { kind: "bad" });
  else toast(`${nameOf(done)} ${done.length === 1 ? "is" : "are"} being processed again.`);
  return done;
}

/** Delete the bytes and keep the records, after a question: this cannot be undone. Returns the new records. */
export async function release(files) {
  const what = nameOf(files);
  const agreed = await openDialog(h("dialog", { class: "stack", "aria-labelledby": "release-title" },
    h("h2", { id: "release-title" }, `Release ${what}?`),
    h("p", {}, `The bytes and previews are deleted and cannot be restored. The ${files.length === 1 ? "record stays" : "records stay"}.`),
    h("form", { method: "dialog", class: "line" },
      h("button", { class: "button danger", value: "release" }, "Release"),
      h("button", { class: "button quiet", value: "" }, "Keep"))));
  if (agreed !== "release") return [];
  const records = [];
  const { failed } = await forEach(files, async ({ id }) => records.push(await (await call("POST", `${recordOf(id)}release/`)).json()));
  if (failed.length) toast(failureText(failed, "released"), { kind: "bad" });
  else toast(`The bytes of ${what} are deleted.`);
  return records;
}

function save(address, name) {
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}
