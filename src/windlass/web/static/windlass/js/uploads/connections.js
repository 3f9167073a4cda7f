// How many connections send a large file fastest: found by trying, and remembered for a day.

const MOST_CONNECTIONS = 4; // browsers allow six to one server; the page needs some
const GAIN = 1.15; // another connection is kept if the whole is faster by this factor
const MEMORY = "windlass-upload-connections", MEMORY_HOURS = 24;

/** How many connections were fastest to this server; null where that was not measured within a day. */
export function knownConnections() {
  try {
    const { connections, at } = JSON.parse(localStorage.getItem(MEMORY));
    return Date.now() - at < MEMORY_HOURS * 3_600_000 ? connections : null;
  } catch {
    return null;
  }
}

export function rememberConnections(connections) {
  try {
    localStorage.setItem(MEMORY, JSON.stringify({ connections, at: Date.now() }));
  } catch {
    // no storage in this window: it is measured again
  }
}

/**
 * Add connections to the one that there is, as long as each makes the whole faster. A promise of how many were fastest;
 * null where the file ended before that was known.
 *
 * `measure()` is a promise of the bytes per second of all connections together, null if one of them ended meanwhile.
 * `connect(drop)` adds one, which `drop` (an AbortController) ends; it returns false where nothing is left to send.
 */
export async function findConnections({ measure, connect }) {
  let number = 1;
  for (let before = await measure(); before !== null;) {
    const drop = new AbortController();
    if (!connect(drop)) return null;
    const after = await measure();
    if (after === null) return null;
    if (after <= before * GAIN) {
      drop.abort();
      return number;
    }
    number += 1;
    if (number === MOST_CONNECTIONS) return number;
    before = after;
  }
  return null;
}
