// The web page: uploads by tus, and a library that Server-Sent Events keep up to date. No framework; texts are set as text, never as HTML.

const RUNNING = new Set(["PENDING", "PROCESSING"]);
const SERVED = new Set(["READY", "FAILED"]);
const SMALLEST = 2 ** 20, LARGEST = 2 ** 26; // bytes of one PATCH: the size doubles while a request takes less than a second
const query = (selector, within = document) => within.querySelector(selector);
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const urlOf = (path) => document.documentElement.dataset.root + path; // a proxy may serve Windlass below a path
const showMessage = (text) => { query("#message").textContent = text; };

let token = sessionStorage.getItem("windlass-token") ?? "";

class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.isTransient = status === 409 || status === 423 || status === 429 || status >= 500;
  }
}

/** fetch with the visitor's credential. Throws ApiError, with the detail of the problem document, for any status but success. */
async function callApi(path, init = {}) {
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const csrf = document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1];
  if (csrf && !["GET", "HEAD"].includes(init.method ?? "GET")) headers.set("X-CSRFToken", csrf);
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  if (response.status === 401) askForToken();
  throw new ApiError(response.status, await response.json().catch(() => null));
}

function sizeOf(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = bytes ? Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)) : 0;
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

// ---- Signing in

function askForToken() {
  query("#sign-in").hidden = false;
  query("#panel").hidden = true;
  query("#token").focus();
}

query("#sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = query("#token").value.trim();
  await start();
});

// ---- Uploading by tus 1.0: create, then append at the server's offset

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const tus = (method, headers = {}, body = undefined, signal = undefined) =>
  ({ method, body, signal, headers: { "Tus-Resumable": "1.0.0", ...headers } });

async function uploadFile(file) {
  const row = query("#transfer-row").content.cloneNode(true).firstElementChild;
  const stop = new AbortController();
  query(".name", row).textContent = file.name;
  query("progress", row).setAttribute("aria-label", `Upload of ${file.name}`);
  query(".cancel", row).addEventListener("click", () => stop.abort());
  query("#transfers").append(row);
  query("#transfers-section").hidden = false;
  const show = (sent, note = "") => {
    if (sent !== null) query("progress", row).value = file.size ? sent / file.size : 1;
    query(".detail", row).textContent = note || `${sizeOf(sent)} of ${sizeOf(file.size)}`;
  };
  try {
    await uploadByTus(file, show, stop.signal);
    showMessage(`${file.name} is in.`);
    removeTransfer(row);
  } catch (error) {
    if (stop.signal.aborted) return removeTransfer(row);
    row.classList.add("failed");
    show(null, error.message);
    query(".cancel", row).textContent = "Dismiss";
    query(".cancel", row).addEventListener("click", () => removeTransfer(row));
  }
}

function removeTransfer(row) {
  row.remove();
  query("#transfers-section").hidden = !query("#transfers").children.length;
}

async function uploadByTus(file, show, signal) {
  const metadata = `filename ${base64(file.name)}` + (file.type ? `,filetype ${base64(file.type)}` : "");
  show(0);
  const creation = await retry(() =>
    callApi(urlOf("/files/"), tus("POST", { "Upload-Length": file.size, "Upload-Metadata": metadata }, undefined, signal)), show, signal);
  const where = new URL(creation.headers.get("Location"), location).pathname;
  try {
    await sendChunks(file, where, show, signal);
  } catch (error) {
    if (signal.aborted) await callApi(where, tus("DELETE")).catch(() => {});
    throw error;
  }
}

async function sendChunks(file, where, show, signal) {
  let offset = 0, size = SMALLEST, lost = false;
  while (offset < file.size) {
    await retry(async () => {
      if (lost) offset = Number((await callApi(where, tus("HEAD", {}, undefined, signal))).headers.get("Upload-Offset"));
      lost = true; // until the reply has arrived, only the server knows the offset
      if (offset >= file.size) return;
      const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      const began = performance.now();
      const reply = await callApi(where, tus("PATCH", headers, file.slice(offset, offset + size), signal));
      offset = Number(reply.headers.get("Upload-Offset"));
      lost = false;
      size = performance.now() - began < 1000 ? Math.min(LARGEST, size * 2) : Math.max(SMALLEST, size / 2);
    }, show, signal);
    show(offset);
  }
}

/** Retry while the error is transient: no network, or a busy or restarting server. */
async function retry(work, show, signal) {
  for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || (error instanceof ApiError && !error.isTransient)) throw error;
      show(null, `Interrupted; trying again in ${wait} s.`);
      await sleep(wait);
      signal.throwIfAborted();
    }
  }
}

const uploadAll = (files) => [...files].reduce((before, file) => before.then(() => uploadFile(file)), Promise.resolve());

query("#choose").addEventListener("change", ({ target }) => {
  uploadAll(target.files);
  target.value = "";
});
const drop = query("#drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") uploadAll(event.dataTransfer.files);
  });
}

// ---- The library

const rows = new Map();
const profilesWithTrash = new Set(document.documentElement.dataset.trashing.split(" ")); // profiles that put deleted files into the trash
let next = null;
let inTrash = false; // whether the list shows the trash

function showFile(file, { first = false } = {}) {
  let row = rows.get(file.id);
  if (!row) {
    row = query("#file-row").content.cloneNode(true).firstElementChild;
    rows.set(file.id, row);
    query(".delete", row).addEventListener("click", () => deleteFile(file));
    query(".restore", row).addEventListener("click", () => restoreFile(file));
    query(".download", row).addEventListener("click", (event) => downloadSigned(event, file));
    query("#library")[first ? "prepend" : "append"](row);
  }
  const facts = [sizeOf(file.size), file.mime_type ?? file.declared_mime_type];
  if (file.width) facts.push(`${file.width} × ${file.height}`);
  if (file.duration) facts.push(`${file.duration.toFixed(1)} s`);
  if (file.page_count) facts.push(`${file.page_count} pages`);
  query(".name", row).textContent = file.original_filename;
  query(".facts", row).textContent = facts.filter(Boolean).join(" · ");
  query(".sum", row).textContent = file.checksum ?? "";
  query(".status", row).textContent = query(".status", row).dataset.status = file.status;
  const damaged = file.checks.find(({ name, state }) => name === "integrity" && state === "failed");
  const until = file.trash_until && `Can be restored until ${new Date(file.trash_until).toLocaleString()}`;
  query(".detail", row).textContent = until || damaged?.detail || (file.rejection?.detail ?? "");
  query("progress", row).hidden = inTrash || !RUNNING.has(file.status);
  query("progress", row).setAttribute("aria-label", `Processing of ${file.original_filename}`);
  query(".delete", row).setAttribute("aria-label", `Delete ${file.original_filename}`);
  query(".restore", row).setAttribute("aria-label", `Restore ${file.original_filename}`);
  query(".restore", row).hidden = !inTrash;
  query(".download", row).hidden = inTrash || damaged || !SERVED.has(file.status);
  query(".download", row).href = file.links.download;
  query("#empty").hidden = true;
  showThumbnail(query(".thumb", row), file.thumbnail_url);
}

async function showThumbnail(frame, url) {
  if (!url || frame.dataset.url === url) return;
  frame.dataset.url = url;
  const image = new Image();
  image.alt = "";
  image.loading = "lazy";
  const ours = new URL(url, location).origin === location.origin;
  if (token && ours) {
    const bytes = await callApi(url).then((reply) => reply.blob()).catch(() => null);
    if (!bytes) return;
    image.src = URL.createObjectURL(bytes);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  } else image.src = url;
  frame.replaceChildren(image);
}

async function downloadSigned(event, file) {
  if (!token) return; // the link needs no credential
  event.preventDefault();
  const signed = await callApi(urlOf(`/files/${file.id}/signed-url/`), { method: "POST" }).then((reply) => reply.json(), ({ message }) => showMessage(message));
  if (signed) location.assign(signed.url);
}

async function deleteFile(file) {
  const undoable = !inTrash && profilesWithTrash.has(file.profile);
  if (!undoable && !confirm(`Delete ${file.original_filename}? Its bytes and its record go for good.`)) return;
  try {
    await callApi(urlOf(`/files/${file.id}/${inTrash ? "?permanent=true" : ""}`), { method: "DELETE" });
    removeRow(file.id);
    showMessage(undoable ? `${file.original_filename} is in the trash.` : `${file.original_filename} is deleted.`);
  } catch ({ message }) {
    showMessage(message);
  }
}

async function restoreFile(file) {
  try {
    await callApi(urlOf(`/files/${file.id}/restore/`), { method: "POST" });
    removeRow(file.id);
    showMessage(`${file.original_filename} is restored.`);
  } catch ({ message }) {
    showMessage(message);
  }
}

query("#trash").addEventListener("click", () => {
  inTrash = !inTrash;
  query("#trash").setAttribute("aria-pressed", inTrash);
  query("#library-title").textContent = inTrash ? "Trash" : "Library";
  query("#trash").textContent = inTrash ? "Library" : "Trash";
  for (const id of [...rows.keys()]) removeRow(id);
  loadPage(listPath()).catch(({ message }) => showMessage(message));
});

const listPath = () => urlOf(`/files/?limit=50${inTrash ? "&trashed=true" : ""}`);

function removeRow(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  query("#empty").hidden = rows.size > 0;
}

async function loadPage(path) {
  const shown = inTrash;
  const page = await (await callApi(path)).json();
  if (shown !== inTrash) return; // the visitor has switched to the other list meanwhile
  for (const file of page.results) showFile(file);
  next = page.next && new URL(page.next, location);
  query("#more").hidden = !next;
  query("#empty").hidden = rows.size > 0;
}

query("#more").addEventListener("click", () => loadPage(next.pathname + next.search).catch(({ message }) => showMessage(message)));

const requestNumbers = new Map(); // the latest request for each file: replies to earlier ones are ignored

async function reloadFile(id) {
  const number = (requestNumbers.get(id) ?? 0) + 1;
  requestNumbers.set(id, number);
  const reply = await callApi(urlOf(`/files/${id}/`)).catch((error) => {
    // While the trash is listed, 404 is the answer for files that it lists.
    if (error.status === 404 && !inTrash) removeRow(id);
  });
  const file = await reply?.json();
  if (file && !inTrash && requestNumbers.get(id) === number) showFile(file, { first: true });
}

// ---- Live events: one stream for everything that the caller owns. fetch, because EventSource cannot send a token.

async function followEvents() {
  for (let last = null; ; await sleep(2)) {
    try {
      const reply = await callApi(urlOf("/events/"), last ? { headers: { "Last-Event-ID": last } } : {});
      for await (const event of readEvents(reply.body)) {
        last = event.id ?? last;
        handleEvent(event);
      }
    } catch (error) {
      if (error.status === 401) return;
    }
  }
}

async function* readEvents(body) {
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

function handleEvent({ type, file_id, data }) {
  if (!file_id) return;
  if (inTrash) return ["file.restored", "file.deleted"].includes(type) ? removeRow(file_id) : undefined;
  if (type === "file.deleted" || type === "file.trashed") return removeRow(file_id);
  if (type !== "file.progress" && type !== "file.step") return void reloadFile(file_id);
  const row = rows.get(file_id);
  if (!row) return;
  query("progress", row).value = data.progress;
  query(".detail", row).textContent = data.message || data.step || "";
}

// ---- Start

async function start() {
  try {
    await loadPage(listPath());
  } catch ({ message, status }) {
    return showMessage(status === 401 && !token ? "" : message);
  }
  if (token) sessionStorage.setItem("windlass-token", token);
  query("#sign-in").hidden = true;
  query("#panel").hidden = false;
  query("#trash").hidden = !document.documentElement.dataset.trashing;
  showMessage("");
  followEvents();
}

await start();
