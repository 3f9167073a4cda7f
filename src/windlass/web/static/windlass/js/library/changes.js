// Keeps the list as the server has it: events of files change what is shown, and new files are put in front or announced.

import { getJson } from "../api.js";
import { recordOf } from "../files/paths.js";
import { subscribe } from "../live.js";

const TOGETHER = 300; // milliseconds in which events are answered by one request
const AT_ONCE = 4;
const GONE = new Set(["file.deleted", "file.trashed"]);
const GONE_FROM_TRASH = new Set(["file.deleted", "file.restored"]);
const RUNNING = new Set(["file.progress", "file.step", "file.stage"]);

/**
 * `library` has collection, isTrash(), changed(record), removed(id), released(id), progressed(id, progress), arrived() and
 * connection(state).
 * Returns {close}.
 */
export function follow(library) {
  const stale = new Set(); // ids of files whose records changed
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
        try {
          library.changed(await getJson(recordOf(id)));
        } catch (error) {
          // It may be in the trash, which the visitor may have opened meanwhile.
          if (error.status === 404 && !library.isTrash()) library.removed(id);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, fetchNext));
  }

  function later() {
    timer ||= setTimeout(refresh, TOGETHER);
  }

  function onEvent({ type, file_id: id, data }) {
    if (!id) return;
    if (library.isTrash()) {
      if (GONE_FROM_TRASH.has(type)) library.removed(id);
      else if (type === "file.trashed") note(true);
      return;
    }
    if (GONE.has(type)) return void library.removed(id);
    if (type === "file.released") library.released(id);
    if (RUNNING.has(type)) {
      library.progressed(id, { percent: data.progress ?? 0, message: type === "file.progress" ? data.message : "" });
      if (type === "file.stage" && library.collection.has(id)) { stale.add(id); later(); }
      return;
    }
    if (library.collection.has(id)) { stale.add(id); later(); } else note(type.startsWith("file."));
  }

  function note(isNew) {
    arrived ||= isNew;
    if (isNew) later();
  }

  return subscribe("/ws/events", { onEvent, onState: (state) => library.connection(state) });
}
