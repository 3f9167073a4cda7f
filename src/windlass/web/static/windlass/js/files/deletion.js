// Deleting with a way back. Files of profiles with a trash are moved there at once and restored by Undo. Other files are deleted once Undo
// is no longer offered, or when the page is left.

import { call } from "../api.js";
import { toast } from "../dom.js";
import { failureText, forEach, nameOf } from "./many.js";
import { recordOf } from "./paths.js";

const withTrash = new Set((document.documentElement.dataset.trashing ?? "").split(" "));
const waiting = new Set(); // paths to delete, of files that can still be undone

addEventListener("pagehide", () => {
  for (const path of waiting) sendDelete(path).catch(() => {}); // nobody is left to hear of a failure
  waiting.clear();
});

const sendDelete = (path) => call("DELETE", path, { keepalive: true });

/** Delete files. `hide` takes them off the page at once, `show` puts those back that were not deleted or were restored. */
export async function deleteFiles(files, { hide, show, permanent = false }) {
  hide(files);
  const kept = permanent ? [] : files.filter(({ profile }) => withTrash.has(profile));
  const lost = files.filter((file) => !kept.includes(file));
  await Promise.all([kept.length && trash(kept, show), lost.length && deleteLater(lost, show, permanent)]);
}

export async function restoreFiles(files) {
  const { done, failed } = await forEach(files, ({ id }) => call("POST", `${recordOf(id)}restore/`));
  if (failed.length) toast(failureText(failed, "restored"), { kind: "bad" });
  return done;
}

async function trash(files, show) {
  const { done, failed } = await forEach(files, ({ id }) => call("DELETE", recordOf(id)));
  if (failed.length) {
    show(failed.map(({ file }) => file));
    toast(failureText(failed, "deleted"), { kind: "bad" });
  }
  if (!done.length) return;
  const undo = async () => show(await restoreFiles(done));
  toast(`${nameOf(done)} ${done.length === 1 ? "is" : "are"} in the trash.`, { action: { label: "Undo", run: undo } });
}

async function deleteLater(files, show, permanent) {
  const paths = new Map(files.map((file) => [file, recordOf(file.id) + (permanent ? "?permanent=true" : "")]));
  for (const path of paths.values()) waiting.add(path);
  const isUndone = await toast(`${nameOf(files)} ${files.length === 1 ? "is" : "are"} deleted.`, { action: { label: "Undo", run() {} } }).closed;
  const due = files.filter((file) => waiting.delete(paths.get(file)));
  if (isUndone) return show(due);
  const { failed } = await forEach(due, (file) => sendDelete(paths.get(file)));
  const present = failed.filter(({ error }) => error.status !== 404);
  if (!present.length) return;
  show(present.map(({ file }) => file));
  toast(failureText(present, "deleted"), { kind: "bad" });
}
