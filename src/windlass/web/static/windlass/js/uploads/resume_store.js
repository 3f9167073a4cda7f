// What a later page needs to continue uploads after a reload or a restart of the browser: a record of each in
// IndexedDB, and a copy of small files in the origin private file system where the browser cannot read them again.
// Without either of these stores uploads work, and a reload forgets them.

const DATABASE = "windlass-uploads", RECORDS = "uploads", COPIES = "windlass-uploads";
/** Bytes: larger files are asked for again. Copying 64 MiB takes well below a second of disk time. */
const LARGEST_COPY = 64 * 2 ** 20;
/** Of what the browser grants this origin, all copies together. */
const SHARE_OF_QUOTA = 0.25;

export class ResumeStore {
  #database = null;
  #page = String(crypto.getRandomValues(new Uint32Array(2)).join("-"));
  #copying = Promise.resolve(); // copies are made one after the other

  async open() {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(RECORDS, { keyPath: "id" });
    this.#database = await settled(request).catch(() => null);
    await this.#holdPageLock();
  }

  /** Whether records are kept at all: a private window may refuse. */
  get works() {
    return this.#database !== null;
  }

  /** Records of this owner that no other open page has, oldest first. They belong to this page from now on. */
  async adopt(owner) {
    if (!this.works) return [];
    return exclusively("windlass-uploads-adopt", async () => {
      const open = await openPages();
      const records = await settled(this.#store("readonly").getAll());
      const free = records.filter((record) => record.owner === owner && !open.has(record.page));
      await this.save(free);
      return free.sort((a, b) => a.added - b.added);
    });
  }

  /** Write records; those of handles that the browser cannot store are kept without them. */
  async save(records) {
    if (!this.works) return;
    const store = this.#store("readwrite");
    for (const record of records) {
      record.page = this.#page;
      try {
        store.put(record);
      } catch {
        store.put({ ...record, handle: null, folder: null });
      }
    }
    await committed(store.transaction).catch(() => {}); // a full disk: the upload itself goes on
  }

  async remove(ids) {
    if (!this.works) return;
    const store = this.#store("readwrite");
    for (const id of ids) store.delete(id);
    await committed(store.transaction).catch(() => {});
    const folder = await copiesFolder();
    for (const id of folder ? ids : []) await folder.removeEntry(id).catch(() => {}); // most have none
  }

  /** Copy the file, unless it is too large, space is short or `isNeeded()` says no by then. Whether there is a copy. */
  copy(id, file, isNeeded) {
    this.#copying = this.#copying.then(() => isNeeded() && this.#copyNow(id, file)).catch(() => false);
    return this.#copying;
  }

  async #copyNow(id, file) {
    const folder = await copiesFolder();
    if (!this.works || !folder || file.size > LARGEST_COPY) return false;
    const { quota, usage } = await navigator.storage.estimate();
    if (usage + file.size > quota * SHARE_OF_QUOTA) return false;
    const copied = await folder.getFileHandle(id, { create: true });
    await file.stream().pipeTo(await copied.createWritable()); // nothing is visible before it is closed
    return true;
  }

  /** The copy of a file; null if there is none. */
  async copied({ id, name, type, lastModified, size }) {
    const folder = await copiesFolder();
    const handle = await folder?.getFileHandle(id).catch(() => null);
    const bytes = await handle?.getFile();
    return bytes?.size === size ? new File([bytes], name, { type, lastModified }) : null;
  }

  #store(mode) {
    return this.#database.transaction(RECORDS, mode).objectStore(RECORDS);
  }

  /** Hold a lock as long as this page is open, by which other pages know that its uploads are under way. */
  async #holdPageLock() {
    if (!navigator.locks) return; // not a secure context: of two pages, each continues what it finds
    await new Promise((held) => {
      navigator.locks.request(lockOf(this.#page), () => (held(), new Promise(() => {})));
    });
  }
}

const lockOf = (page) => `windlass-uploads-page-${page}`;

async function openPages() {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  return new Set(held.map(({ name }) => name.replace(lockOf(""), "")));
}

function exclusively(name, work) {
  return navigator.locks ? navigator.locks.request(name, work) : work();
}

async function copiesFolder() {
  try {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(COPIES, { create: true });
    return "createWritable" in FileSystemFileHandle.prototype ? folder : null;
  } catch {
    return null; // not a secure context, a private window, or a browser without it
  }
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const committed = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = transaction.onerror = () => reject(transaction.error);
});
