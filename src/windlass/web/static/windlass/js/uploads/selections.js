// What a person chose: {file, path, handle, folder}. `path` is relative to the folder that was chosen or dropped, and
// empty for a single file. `handle` (FileSystemFileHandle) lets a later page read the file again; `folder` is the
// directory handle that permission is asked for. Both are null where the browser has none.

const SYSTEM_FILES = new Set([".DS_Store", "Thumbs.db", "desktop.ini"]); // written by file managers into every folder

/** Read a drop or a paste. Call it inside the event: the browser empties `transfer` afterwards. */
export async function selectionsOfTransfer(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const read = items.map((item) => [item.getAsFileSystemHandle?.(), item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = await Promise.all(read.map(([handle, entry, file]) => selectionsOfItem(handle, entry, file)));
  return found.flat();
}

async function selectionsOfItem(pendingHandle, entry, file) {
  const handle = await Promise.resolve(pendingHandle).catch(() => null);
  if (handle) return selectionsOfHandle(handle);
  if (entry?.isDirectory) return selectionsOfEntry(entry);
  return file ? [selectionOf(file)] : [];
}

/** A file or a folder that the File System Access API gave. */
export async function selectionsOfHandle(handle) {
  if (handle.kind === "file") return [selectionOf(await handle.getFile(), { handle })];
  const found = [];
  for await (const [path, inner] of filesBelow(handle, handle.name)) {
    const file = await inner.getFile().catch(() => null);
    found.push(file ? selectionOf(file, { path, handle: inner, folder: handle }) : unreadable(path));
  }
  return found;
}

async function* filesBelow(folder, path) {
  for await (const inner of folder.values()) {
    const innerPath = `${path}/${inner.name}`;
    if (inner.kind === "directory") yield* filesBelow(inner, innerPath);
    else if (!SYSTEM_FILES.has(inner.name)) yield [innerPath, inner];
  }
}

/** A folder in browsers that have only the older File and Directory Entries API. */
async function selectionsOfEntry(entry) {
  const path = entry.fullPath.slice(1);
  if (entry.isFile) {
    if (SYSTEM_FILES.has(entry.name)) return [];
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    return [file ? selectionOf(file, { path }) : unreadable(path)];
  }
  const found = [];
  const reader = entry.createReader();
  for (;;) { // one call returns a part of a large folder; an empty list is the end
    const entries = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!entries.length) return found;
    for (const inner of entries) found.push(...await selectionsOfEntry(inner));
  }
}

/** The files of an `<input type="file">`, with or without `webkitdirectory`. */
export function selectionsOfInput(input) {
  const files = [...input.files].filter(({ name }) => !SYSTEM_FILES.has(name));
  return files.map((file) => selectionOf(file, { path: file.webkitRelativePath }));
}

/** Pasted pictures are all called image.png: name them by the time. */
export function nameOfPastedFile(file, at = new Date()) {
  if (file.name !== "image.png") return file;
  const time = at.toLocaleString("sv").replaceAll(":", ".");
  return new File([file], `Pasted ${time}.png`, { type: file.type, lastModified: file.lastModified });
}

function selectionOf(file, { path = "", handle = null, folder = null } = {}) {
  return { file, path, handle, folder };
}

/** A file that the device does not let be read is listed with the reason, like any other that cannot be uploaded. */
function unreadable(path) {
  const name = path.split("/").at(-1);
  return { file: null, name, path, handle: null, folder: null };
}
