// Keeps the list as the server has it: events of files change what is shown, and new files are put in front or announced.

import { getJson } from "../api.js";
import { recordOf } from "../files/paths.js";
import { subscribe } from "../live.js";

const TOGETHER = 300; // milliseconds in which events are answered by one request
const AT_ONCE = 4;
const READ_AGAIN = 3000; // milliseconds, where the server does not answer and does not say when it will
const RUNNING = new Set(["file.progress", "file.step", "file.stage"]);

/**
 * `library` has collection, isTrash(), changed(record), removed(id), released(id), progressed(id, progress), arrived() and
 * connection(state).
 * Returns {close}.
 */
export function follow(library) {
  const stale = new Set(); // ids of files whose records changed, or may be gone from this view
  let timer = 0;
  let arrived = false;

  async function refresh() {
    timer = 0;
    const ids = [...stale];
    stale.clear();
    if (arrived) library.arrived();
    arrived = false;
    const fetchNext = async () => {
      for (let id = ids.pop(); id; id = ids.pop()) {
        const isTrash = library.isTrash();
        const record = await getJson(recordOf(id)).catch((error) => missing(id, error));
        if (record === undefined || library.isTrash() !== isTrash) continue;
        if (record && !isTrash) library.changed(record);
        else if (Boolean(record) === isTrash) library.removed(id); // a file in the trash has no record
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, fetchNext));
  }

  function later(wait = TOGETHER) {
    timer ||= setTimeout(refresh, wait);
  }

  /** What stands for a record that could not be read: null where there is none. */
  function missing(id, error) {
    if (error.status === 404) return null;
    if (!error.isTransient) return undefined;
    stale.add(id);
    later(error.retryAfter === null ? READ_AGAIN : 1000 * error.retryAfter);
    return undefined;
  }

  function onEvent({ type, file_id: id, data }) {
    if (!id) return;
    if (type === "file.deleted") return void library.removed(id);
    if (library.isTrash()) {
      if (type === "file.restored") changed(id);
      else if (type === "file.trashed") note(true);
      return;
    }
    if (type === "file.trashed" && !library.collection.has(id)) return void library.removed(id);
    if (type === "file.released") library.released(id);
    if (RUNNING.has(type)) {
      library.progressed(id, { percent: data.progress ?? 0, message: type === "file.progress" ? data.message : "" });
      if (type === "file.stage") changed(id);
      return;
    }
    if (library.collection.has(id)) changed(id); else note(type.startsWith("file."));
  }

  /** An event may be older than what the visitor did since, such as an undo: the record counts. */
  function changed(id) {
    if (!library.collection.has(id)) return;
    stale.add(id);
    later();
  }

  function note(isNew) {
    arrived ||= isNew;
    if (isNew) later();
  }

  return subscribe("/ws/events", { onEvent, onState: (state) => library.connection(state) });
}
