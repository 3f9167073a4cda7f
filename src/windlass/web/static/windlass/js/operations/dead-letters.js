// Dead letters: processing that was given up. Their attempts; retry one, some or all; delete one.

import { call, getJson, sendJson, urlOf } from "../api.js";
import { h, openDialog, query, queryAll, toast } from "../dom.js";
import { bytes, count, dateTime, duration, relativeTime } from "../format.js";
import { pageOf } from "../files/paths.js";
import { badge, button, draw, empty, forget } from "./sections.js";

const PATH = "/error-handling/failed-tasks";
const chosen = new Set();
const opened = new Set();
let pages = 1;

/** The first dead letters, as many pages as were asked for: {results, next}. */
export async function readDeadLetters() {
  let reply = await getJson(urlOf(PATH), { limit: 20 });
  const results = [...reply.results];
  for (let page = 1; page < pages && reply.next; page += 1) {
    reply = await getJson(reply.next);
    results.push(...reply.results);
  }
  return { results, next: reply.next };
}

export function drawDeadLetters({ results, next }, refresh) {
  const ids = new Set(results.map(({ task_id }) => task_id));
  for (const id of chosen) if (!ids.has(id)) chosen.delete(id);
  draw("dead-letters", { results, next }, () => {
    if (!results.length) return empty("None: no processing was given up.");
    return [actions(results, refresh), h("ul", { class: "letters" }, results.map((letter) => entry(letter, refresh))), next && button("Show more", "more", async () => {
      pages += 1;
      await refresh();
    })];
  });
  showChoice(results);
}

function actions(results, refresh) {
  const all = h("input", { type: "checkbox", id: "choose-all", dataset: { key: "choose-all" }, on: { change: ({ target }) => {
    for (const { task_id } of results) target.checked ? chosen.add(task_id) : chosen.delete(task_id);
    for (const box of queryAll("#dead-letters li input[type=checkbox]")) box.checked = target.checked;
    showChoice(results);
  } } });
  return h(
    "div", { class: "line spread" }, h("label", { class: "line", for: "choose-all" }, all, h("span", { id: "choice" }, "Choose all")),
    h("span", { class: "line" }, button("Retry the chosen", "retry-chosen", () => retry({ task_ids: [...chosen] }, refresh)), button("Retry all", "retry-all", () => retry({ all: true }, refresh))),
  );
}

function showChoice(results) {
  const box = query("#choose-all");
  if (!box) return;
  box.checked = chosen.size === results.length;
  box.indeterminate = chosen.size > 0 && chosen.size < results.length;
  query("#choice").textContent = chosen.size ? `${chosen.size} chosen` : "Choose all";
  query('[data-key="retry-chosen"]').disabled = chosen.size === 0;
}

function entry(letter, refresh) {
  const { task_id: id, file_id, filename, owner, size, stage, step, error_class, message, attempts, last_failed_at } = letter;
  const name = filename ?? `File ${file_id.slice(0, 8)}`;
  const what = `${step ?? stage} of ${filename ?? `file ${file_id.slice(0, 8)}`}`;
  const box = h("input", { type: "checkbox", checked: chosen.has(id), "aria-label": `Choose ${what}`, dataset: { key: `choose ${id}` }, on: { change: ({ target }) => {
    target.checked ? chosen.add(id) : chosen.delete(id);
    showChoice(queryAll("#dead-letters li"));
  } } });
  const details = h("details", { open: opened.has(id), on: { toggle: ({ target }) => { target.open ? opened.add(id) : opened.delete(id); } } }, h("summary", { dataset: { key: `attempts ${id}` } }, count(attempts.length, "attempt")), attemptList(attempts));
  return h(
    "li", {}, box, h(
      "div", { class: "letter" },
      h("p", { class: "line" }, badge("bad", step ?? stage), h("a", { href: pageOf(file_id) }, name), filename && h("span", { class: "soft small" }, `${bytes(size)}, ${owner}`), h("span", { class: "soft small", title: dateTime(last_failed_at) }, relativeTime(last_failed_at))),
      h("p", { class: "message" }, ...reason(error_class, message)), details,
    ),
    h("span", { class: "line" }, button("Retry", `retry ${id}`, () => retry({ task_ids: [id] }, refresh), { name: `Retry ${what}` }), button("Delete", `delete ${id}`, () => remove(id, what, refresh), { name: `Delete ${what}` })),
  );
}

const reason = (error_class, message) => [error_class && h("span", { class: "mono" }, message ? `${error_class}: ` : error_class), message];

function attemptList(attempts) {
  return h("ol", { class: "attempts small" }, attempts.map(({ retry, number, outcome, started_at, seconds, error_class, message, worker }) => h(
    "li", {}, h("strong", {}, outcome), ` ${dateTime(started_at)}${seconds === null ? "" : `, after ${duration(seconds)}`}${retry ? `, attempt ${number} of retry ${retry}` : ""}, by ${worker}`,
    (error_class || message) && h("p", { class: "message" }, ...reason(error_class, message)),
  )));
}

async function retry(asked, refresh) {
  try {
    const { results, queued, remaining } = await sendJson("POST", urlOf("/error-handling/retry-tasks"), asked);
    const others = Object.keys(results).length - queued;
    const rest = [others && `${count(others, "other")} could not be retried`, remaining && `${count(remaining, "more")} are left`].filter(Boolean);
    toast([`${count(queued, "task")} queued again.`, ...rest.map((text) => `${text}.`)].join(" "), { kind: queued ? "good" : "bad" });
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
  chosen.clear();
  forget("dead-letters");
  await refresh();
}

async function remove(id, what, refresh) {
  const dialog = query("#delete-letter");
  query("p", dialog).textContent = `${what} is then not retried any more. The file stays, and can be processed again from its page.`;
  if ((await openDialog(dialog)) !== "delete") return;
  try {
    await call("DELETE", urlOf(`${PATH}/${id}`));
    toast("The dead letter is deleted.", { kind: "good" });
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
  await refresh();
}
