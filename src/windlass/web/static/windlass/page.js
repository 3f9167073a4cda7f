// The page: uploads by tus, a library kept live by Server-Sent Events. No framework; every text is set as text.

const RUNNING = new Set(["PENDING", "PROCESSING"]);
const SERVED = new Set(["READY", "FAILED"]);
const SMALLEST = 2 ** 20, LARGEST = 2 ** 26; // of one PATCH: it grows while a request takes under a second
const find = (selector, within = document) => within.querySelector(selector);
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const at = (path) => document.documentElement.dataset.root + path; // a proxy may serve all of this below a path
const say = (text) => { find("#said").textContent = text; };

let token = sessionStorage.getItem("windlass-token") ?? "";

class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.passes = status === 409 || status === 423 || status === 429 || status >= 500;
  }
}

/** fetch with our credential; anything but a success is thrown, with the problem's words. */
async function call(path, init = {}) {
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const csrf = document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1];
  if (csrf && !["GET", "HEAD"].includes(init.method ?? "GET")) headers.set("X-CSRFToken", csrf);
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  if (response.status === 401) askForToken();
  throw new Refused(response.status, await response.json().catch(() => null));
}

function sizeOf(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = bytes ? Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)) : 0;
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

// ---- Signing in

function askForToken() {
  find("#sign-in").hidden = false;
  find("#desk").hidden = true;
  find("#token").focus();
}

find("#sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = find("#token").value.trim();
  await begin();
});

// ---- Uploading (tus 1.0: create, then append at the offset that the server has)

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const tus = (method, headers = {}, body = undefined, signal = undefined) =>
  ({ method, body, signal, headers: { "Tus-Resumable": "1.0.0", ...headers } });

async function upload(file) {
  const row = find("#transfer-row").content.cloneNode(true).firstElementChild;
  const stop = new AbortController();
  find(".name", row).textContent = file.name;
  find("progress", row).setAttribute("aria-label", `Upload of ${file.name}`);
  find(".cancel", row).addEventListener("click", () => stop.abort());
  find("#transfers").append(row);
  find("#transfers-section").hidden = false;
  const show = (sent, note = "") => {
    if (sent !== null) find("progress", row).value = file.size ? sent / file.size : 1;
    find(".detail", row).textContent = note || `${sizeOf(sent)} of ${sizeOf(file.size)}`;
  };
  try {
    await send(file, show, stop.signal);
    say(`${file.name} is in.`);
    remove(row);
  } catch (error) {
    if (stop.signal.aborted) return remove(row);
    row.classList.add("failed");
    show(null, error.message);
    find(".cancel", row).textContent = "Dismiss";
    find(".cancel", row).addEventListener("click", () => remove(row));
  }
}

function remove(row) {
  row.remove();
  find("#transfers-section").hidden = !find("#transfers").children.length;
}

async function send(file, show, signal) {
  const metadata = `filename ${base64(file.name)}` + (file.type ? `,filetype ${base64(file.type)}` : "");
  show(0);
  const made = await persist(() =>
    call(at("/files/"), tus("POST", { "Upload-Length": file.size, "Upload-Metadata": metadata }, undefined, signal)), show, signal);
  const where = new URL(made.headers.get("Location"), location).pathname;
  try {
    await append(file, where, show, signal);
  } catch (error) {
    if (signal.aborted) await call(where, tus("DELETE")).catch(() => {});
    throw error;
  }
}

async function append(file, where, show, signal) {
  let offset = 0, size = SMALLEST, lost = false;
  while (offset < file.size) {
    await persist(async () => {
      if (lost) offset = Number((await call(where, tus("HEAD", {}, undefined, signal))).headers.get("Upload-Offset"));
      lost = true; // unless the server says how far it is, only it knows
      if (offset >= file.size) return;
      const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      const began = performance.now();
      const reply = await call(where, tus("PATCH", headers, file.slice(offset, offset + size), signal));
      offset = Number(reply.headers.get("Upload-Offset"));
      lost = false;
      size = performance.now() - began < 1000 ? Math.min(LARGEST, size * 2) : Math.max(SMALLEST, size / 2);
    }, show, signal);
    show(offset);
  }
}

/** Try again for as long as it may help: a dead network, a busy or restarting server. */
async function persist(work, show, signal) {
  for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && !error.passes)) throw error;
      show(null, `Interrupted; trying again in ${wait} s.`);
      await pause(wait);
      signal.throwIfAborted();
    }
  }
}

const uploadAll = (files) => [...files].reduce((before, file) => before.then(() => upload(file)), Promise.resolve());

find("#choose").addEventListener("change", ({ target }) => {
  uploadAll(target.files);
  target.value = "";
});
const drop = find("#drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") uploadAll(event.dataTransfer.files);
  });
}

// ---- The library

const rows = new Map();
const trashing = new Set(document.documentElement.dataset.trashing.split(" ")); // profiles whose files can be restored
let next = null;
let inTrash = false; // whether the list shows the trash

function place(file, { first = false } = {}) {
  let row = rows.get(file.id);
  if (!row) {
    row = find("#file-row").content.cloneNode(true).firstElementChild;
    rows.set(file.id, row);
    find(".delete", row).addEventListener("click", () => discard(file));
    find(".restore", row).addEventListener("click", () => restore(file));
    find(".download", row).addEventListener("click", (event) => download(event, file));
    find("#library")[first ? "prepend" : "append"](row);
  }
  const facts = [sizeOf(file.size), file.mime_type ?? file.declared_mime_type];
  if (file.width) facts.push(`${file.width} × ${file.height}`);
  if (file.duration) facts.push(`${file.duration.toFixed(1)} s`);
  if (file.page_count) facts.push(`${file.page_count} pages`);
  find(".name", row).textContent = file.original_filename;
  find(".facts", row).textContent = facts.filter(Boolean).join(" · ");
  find(".sum", row).textContent = file.checksum ?? "";
  find(".status", row).textContent = find(".status", row).dataset.status = file.status;
  const damaged = file.checks.find(({ name, state }) => name === "integrity" && state === "failed");
  const until = file.trash_until && `Can be restored until ${new Date(file.trash_until).toLocaleString()}`;
  find(".detail", row).textContent = until || damaged?.detail || (file.rejection?.detail ?? "");
  find("progress", row).hidden = inTrash || !RUNNING.has(file.status);
  find("progress", row).setAttribute("aria-label", `Processing of ${file.original_filename}`);
  find(".delete", row).setAttribute("aria-label", `Delete ${file.original_filename}`);
  find(".restore", row).setAttribute("aria-label", `Restore ${file.original_filename}`);
  find(".restore", row).hidden = !inTrash;
  find(".download", row).hidden = inTrash || damaged || !SERVED.has(file.status);
  find(".download", row).href = file.links.download;
  find("#empty").hidden = true;
  picture(find(".thumb", row), file.thumbnail_url);
}

async function picture(frame, url) {
  if (!url || frame.dataset.url === url) return;
  frame.dataset.url = url;
  const image = new Image();
  image.alt = "";
  image.loading = "lazy";
  const ours = new URL(url, location).origin === location.origin;
  if (token && ours) {
    const bytes = await call(url).then((reply) => reply.blob()).catch(() => null);
    if (!bytes) return;
    image.src = URL.createObjectURL(bytes);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  } else image.src = url;
  frame.replaceChildren(image);
}

async function download(event, file) {
  if (!token) return; // the link itself is enough
  event.preventDefault();
  const signed = await call(at(`/files/${file.id}/signed-url/`), { method: "POST" }).then((reply) => reply.json(), ({ message }) => say(message));
  if (signed) location.assign(signed.url);
}

async function discard(file) {
  const undoable = !inTrash && trashing.has(file.profile);
  if (!undoable && !confirm(`Delete ${file.original_filename}? Its bytes and its record go for good.`)) return;
  try {
    await call(at(`/files/${file.id}/${inTrash ? "?permanent=true" : ""}`), { method: "DELETE" });
    forget(file.id);
    say(undoable ? `${file.original_filename} is in the trash.` : `${file.original_filename} is deleted.`);
  } catch ({ message }) {
    say(message);
  }
}

async function restore(file) {
  try {
    await call(at(`/files/${file.id}/restore/`), { method: "POST" });
    forget(file.id);
    say(`${file.original_filename} is restored.`);
  } catch ({ message }) {
    say(message);
  }
}

find("#trash").addEventListener("click", () => {
  inTrash = !inTrash;
  find("#trash").setAttribute("aria-pressed", inTrash);
  find("#library-title").textContent = inTrash ? "Trash" : "Library";
  find("#trash").textContent = inTrash ? "Library" : "Trash";
  for (const id of [...rows.keys()]) forget(id);
  more(listed()).catch(({ message }) => say(message));
});

const listed = () => at(`/files/?limit=50${inTrash ? "&trashed=true" : ""}`);

function forget(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  find("#empty").hidden = rows.size > 0;
}

async function more(path) {
  const shown = inTrash;
  const page = await (await call(path)).json();
  if (shown !== inTrash) return; // the other list was asked for meanwhile
  for (const file of page.results) place(file);
  next = page.next && new URL(page.next, location);
  find("#more").hidden = !next;
  find("#empty").hidden = rows.size > 0;
}

find("#more").addEventListener("click", () => more(next.pathname + next.search).catch(({ message }) => say(message)));

const asked = new Map(); // how often a file was asked for: an answer that a later one overtook is not shown

async function refresh(id) {
  const turn = (asked.get(id) ?? 0) + 1;
  asked.set(id, turn);
  const reply = await call(at(`/files/${id}/`)).catch((error) => {
    // In the trash, a file that this address does not show may be one of those listed.
    if (error.status === 404 && !inTrash) forget(id);
  });
  const file = await reply?.json();
  if (file && !inTrash && asked.get(id) === turn) place(file, { first: true });
}

// ---- Live: one stream for all that is ours. fetch and not EventSource, which cannot carry a token.

async function follow() {
  for (let last = null; ; await pause(2)) {
    try {
      const reply = await call(at("/events/"), last ? { headers: { "Last-Event-ID": last } } : {});
      for await (const event of events(reply.body)) {
        last = event.id ?? last;
        hear(event);
      }
    } catch (error) {
      if (error.status === 401) return;
    }
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (text + value).split("\n\n");
    text = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

function hear({ type, file_id, data }) {
  if (!file_id) return;
  if (inTrash) return ["file.restored", "file.deleted"].includes(type) ? forget(file_id) : undefined;
  if (type === "file.deleted" || type === "file.trashed") return forget(file_id);
  if (type !== "file.progress" && type !== "file.step") return void refresh(file_id);
  const row = rows.get(file_id);
  if (!row) return;
  find("progress", row).value = data.progress;
  find(".detail", row).textContent = data.message || data.step || "";
}

// ---- Begin

async function begin() {
  try {
    await more(listed());
  } catch ({ message, status }) {
    return say(status === 401 && !token ? "" : message);
  }
  if (token) sessionStorage.setItem("windlass-token", token);
  find("#sign-in").hidden = true;
  find("#desk").hidden = false;
  find("#trash").hidden = !document.documentElement.dataset.trashing;
  say("");
  follow();
}

await begin();
