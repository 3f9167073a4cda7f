// The upload half of the page of files.

import { announce, query, toast } from "../dom.js";
import { count } from "../format.js";
import { goToSignIn } from "../api.js";
import { whoAmI } from "../session.js";
import { listenForFiles } from "./choosing.js";
import { UploadList } from "./list.js";
import { Outcome } from "./outcome.js";
import { Processing } from "./processing.js";
import { Queue } from "./queue.js";
import { ResumeStore } from "./resume_store.js";
import { loadProfiles } from "./rules.js";
import { State } from "./upload.js";

const PROFILE = "windlass-upload-profile";

let setReady;
const ready = new Promise((done) => { setReady = done; }); // of what adds files to the queue
listenForFiles((selections) => ready.then((add) => add(selections)));

async function start() {
  const visitor = await whoAmI();
  if (!visitor) return goToSignIn();
  const store = new ResumeStore();
  const [profiles] = await Promise.all([loadProfiles(), store.open()]);
  const onChange = (upload) => list.change(upload);
  const queue = new Queue({
    store, owner: visitor.owner, profiles, onChange,
    onSent: (upload) => processing.follow(upload), onFailed: () => outcome.noteFailure(),
  });
  const processing = new Processing({ onChange, onResult });
  const outcome = new Outcome();
  const list = new UploadList(queue, act, (totals) => outcome.update(totals));
  const profile = showProfiles(profiles);

  function onResult(upload) {
    onChange(upload);
    outcome.tellResult(upload);
  }
  function act(name, upload) {
    if (name === "pause") queue.pause(upload);
    if (name === "resume" || name === "wake") queue.resume(upload);
    if (name === "choose") query("#file-input").click(); // what is chosen finds its upload by name, size and time
    if (name === "cancel") cancel([upload], `“${upload.name}” is cancelled.`);
    if (name === "dismiss") queue.cancel(upload);
    list.draw();
  }
  function cancel(uploads, text) {
    const undos = uploads.map((upload) => queue.cancel(upload)).filter(Boolean);
    toast(text, { action: { label: "Undo", run: () => undos.forEach((undo) => undo()) } });
    list.draw();
  }
  const inState = (...states) => [...queue.uploads.values()].filter(({ state }) => states.includes(state));
  const all = (id, states, run) => query(`#${id}`).addEventListener("click", () => {
    run(inState(...states));
    list.draw();
  });

  all("pause-all", [State.SENDING, State.WAITING], (uploads) => {
    [...uploads].reverse().forEach((upload) => queue.pause(upload)); // those that wait first, so that none of them begins
    announce("All uploads are paused.");
  });
  all("resume-all", [State.PAUSED], (uploads) => uploads.forEach((upload) => queue.resume(upload)));
  all("retry-all", [State.FAILED], (uploads) => uploads.forEach((upload) => queue.resume(upload)));
  all("cancel-all", [State.WAITING, State.SENDING, State.PAUSED, State.FAILED, State.NEEDS_FILE, State.NEEDS_PERMISSION], (uploads) => {
    cancel(uploads.reverse(), `${count(uploads.length, "upload")} cancelled.`);
  });
  for (const id of ["dismiss-all", "dismiss-done"]) {
    all(id, id === "dismiss-all" ? [State.REFUSED, State.REJECTED] : [State.READY], (uploads) => uploads.forEach((upload) => queue.cancel(upload)));
  }
  query("#give-permission").addEventListener("click", () => queue.askForPermission());
  addEventListener("beforeunload", (event) => { if (queue.needsThisPage) event.preventDefault(); });

  setReady((selections) => outcome.tellRefusals(queue.add(selections, profile())));
  await queue.restore();
  document.documentElement.dataset.uploads = "ready";
}

/** Fill the choice of the profile, which is remembered; a function that returns the chosen one. */
function showProfiles(profiles) {
  const select = query("#upload-profile");
  select.replaceChildren(...[...profiles.values()].map(({ name, description }) => new Option(description ? `${name}: ${description}` : name, name)));
  const remembered = localStorage.getItem(PROFILE);
  select.value = profiles.has(remembered) ? remembered : profiles.has("default") ? "default" : select.options[0].value;
  select.addEventListener("change", () => localStorage.setItem(PROFILE, select.value));
  query("#upload-profile-field").hidden = profiles.size < 2;
  return () => select.value;
}

start().catch((error) => toast(`${error.message} Reload the page to try again.`, { kind: "bad", seconds: 60 }));
