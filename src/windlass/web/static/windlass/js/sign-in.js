// Sign the browser in, with a password or an API token.

import { sendJson, urlOf } from "./api.js";
import { h, query, queryAll } from "./dom.js";
import { signOut, whoAmI } from "./session.js";

const SESSION = "/api/v1/auth/session";
const place = query("#sign-in");

/** The server has compared `next` with its own origin; a script that put another one here gets no further either. */
function destination() {
  const wanted = new URL(place.dataset.next, location.href);
  return wanted.origin === location.origin ? wanted.href : location.origin;
}

function textOf(error) {
  if (error.status !== 429) return error.status >= 500 ? `${error.message} Try again later.` : error.message;
  return `Too many wrong attempts came from here. Try again in ${error.retryAfter ?? 60} seconds.`;
}

async function submit(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const [button, message] = [query("button", form), query(".error", form)];
  button.disabled = true;
  message.hidden = true;
  try {
    await sendJson("POST", urlOf(SESSION), Object.fromEntries(new FormData(form)), { signIn: false });
    location.assign(destination());
  } catch (error) {
    message.textContent = textOf(error);
    message.hidden = false;
    button.disabled = false;
    const secret = query("input[type=password]", form);
    secret.focus();
    secret.select();
  }
}

function switchForms() {
  const [byPassword, byToken] = [query("#by-password"), query("#by-token")];
  [byPassword.hidden, byToken.hidden] = [!byPassword.hidden, !byToken.hidden];
  const button = query("#switch");
  button.textContent = byToken.hidden ? "Use an API token instead" : "Use a password instead";
  button.setAttribute("aria-expanded", String(!byToken.hidden));
  query("input", byToken.hidden ? byPassword : byToken).focus();
}

async function showVisitor() {
  const visitor = await whoAmI().catch(() => null);
  if (!visitor) return;
  const note = query("#signed-in");
  note.replaceChildren(
    `You are signed in as ${visitor.name ?? visitor.owner}. `, h("a", { href: destination() }, "Continue"), ", ",
    h("button", { class: "link", type: "button", on: { click: signOut } }, "sign out"), ", or sign in as somebody else.",
  );
  note.hidden = false;
}

for (const form of queryAll("form", place)) form.addEventListener("submit", submit);
query("#switch")?.addEventListener("click", switchForms);
showVisitor();
