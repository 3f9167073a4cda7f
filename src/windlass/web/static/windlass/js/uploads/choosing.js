// The ways in which files come to the page: buttons, a drop anywhere on it, and pasting.

import { query, toast } from "../dom.js";
import { nameOfPastedFile, selectionsOfHandle, selectionsOfInput, selectionsOfTransfer } from "./selections.js";

/** Call `onChosen(selections)` for every choice. */
export function listenForFiles(onChosen) {
  const choose = (pending, what) => Promise.resolve(pending).then((selections) => {
    if (selections.length) onChosen(selections);
    else toast(`${what} has no files.`);
  });
  listenToButtons(choose);
  listenToDrops(choose);
  document.addEventListener("paste", (event) => {
    if (![...event.clipboardData.items].some(({ kind }) => kind === "file")) return;
    event.preventDefault();
    const named = (selection) => ({ ...selection, file: nameOfPastedFile(selection.file) });
    choose(selectionsOfTransfer(event.clipboardData).then((selections) => selections.map(named)), "The clipboard");
  });
}

/** A picker of the File System Access API gives handles, by which the files can be read after a reload; an input does not. */
function listenToButtons(choose) {
  const pickers = {
    "choose-files": ["file-input", window.showOpenFilePicker && (() => showOpenFilePicker({ multiple: true, id: "windlass" }))],
    "choose-folder": ["folder-input", window.showDirectoryPicker && (() => showDirectoryPicker({ id: "windlass-folder" }).then((folder) => [folder]))],
    "take-photo": ["camera-input", null],
  };
  for (const [button, [inputId, pick]] of Object.entries(pickers)) {
    const input = query(`#${inputId}`);
    query(`#${button}`).addEventListener("click", async () => {
      if (!pick) return input.click();
      const handles = await pick().catch((error) => {
        if (error.name !== "AbortError") input.click(); // an embedded page may not use the picker
        return null;
      });
      if (handles) choose(Promise.all(handles.map(selectionsOfHandle)).then((found) => found.flat()), "The folder");
    });
    const takeChosen = () => {
      choose(selectionsOfInput(input), "The folder");
      input.value = ""; // choosing the same file again is a change, too
    };
    input.addEventListener("change", takeChosen);
    if (input.files.length) takeChosen(); // chosen before this module was loaded
  }
}

/** A file dropped beside the box would replace the page, so all of it takes them. */
function listenToDrops(choose) {
  const overlay = query("#drop-overlay");
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  let depth = 0; // dragenter and dragleave come for every element
  const show = (change) => {
    depth = Math.max(0, change(depth));
    overlay.hidden = depth === 0;
  };
  document.addEventListener("dragenter", (event) => hasFiles(event) && show((before) => before + 1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && show((before) => before - 1));
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(() => 0);
    choose(selectionsOfTransfer(event.dataTransfer), "What was dropped");
  });
}
