// The keyboard in the list: arrows move, Space selects, Shift extends, Enter opens, Delete deletes.

/** `library` has viewport, count(), currentIndex(), moveTo(index, {extend}), toggleCurrent(), selectAll(), clearSelection(), deleteSelected(). */
export function listenToKeys(list, library) {
  list.addEventListener("keydown", (event) => {
    const run = action(event, library);
    if (!run) return;
    event.preventDefault();
    run();
  });
}

function action(event, library) {
  const at = library.currentIndex();
  const { columns } = library.viewport;
  const grid = columns > 1;
  const command = event.ctrlKey || event.metaKey;
  const move = (to) => () => library.moveTo(Math.max(0, Math.min(library.count() - 1, to)), { extend: event.shiftKey });
  if (command && event.key.toLowerCase() === "a") return () => library.selectAll();
  if (command || event.altKey) return null;
  switch (event.key) {
    case "ArrowDown": return move(at + columns);
    case "ArrowUp": return move(at - columns);
    case "ArrowRight": return grid && move(at + 1);
    case "ArrowLeft": return grid && move(at - 1);
    case "Home": return move(0);
    case "End": return move(library.count() - 1);
    case "PageDown": return move(at + 8 * columns);
    case "PageUp": return move(at - 8 * columns);
    case "Escape": return () => library.clearSelection();
    case "Delete": return () => library.deleteSelected();
    case " ": return event.target.matches("a") && (() => library.toggleCurrent());
    default: return null;
  }
}
