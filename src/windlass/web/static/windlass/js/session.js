// Who uses the page. Loaded by every page: shows the account and the links that are for staff.

import { call, goToSignIn, urlOf } from "./api.js";
import { h, query, queryAll } from "./dom.js";
import { icon } from "./icons.js";

const SESSION = "/api/v1/auth/session";
const page = document.documentElement.dataset;
let known = null;

/** The visitor as {owner, name, staff, method}; null without a credential. Asked for once. */
export function whoAmI() {
  known ??= call("GET", urlOf(SESSION), { signIn: false }).then((reply) => reply.json()).catch((error) => {
    if (error.status === 401) return null;
    known = null; // the server is away: the next caller asks again
    throw error;
  });
  return known;
}

export async function signOut() {
  await call("DELETE", urlOf(SESSION), { signIn: false });
  location.assign(page.signIn || page.files);
}

async function showAccount() {
  const visitor = await whoAmI().catch(() => undefined);
  if (visitor === undefined) return;
  for (const link of queryAll("[data-staff]")) link.hidden = !visitor?.staff;
  // The admin knows no scopes, so it does not accept a session that a token began.
  for (const link of queryAll("[data-admin]")) link.hidden ||= visitor?.method === "token";
  const place = query("#account");
  if (page.open === "yes") {
    const why = "Anybody on this machine may use the server. How to ask for a credential";
    place.replaceChildren(h("a", { class: "soft", href: page.signIn, title: why }, "Open to this machine"));
  } else if (visitor) {
    const leave = h("button", { class: "icon-button", type: "button", title: "Sign out", on: { click: signOut } }, icon("sign-out", { label: "Sign out" }));
    place.replaceChildren(h("span", {}, visitor.name ?? visitor.owner), leave);
  } else {
    place.replaceChildren(h("button", { class: "button quiet", type: "button", on: { click: goToSignIn } }, "Sign in"));
  }
}

showAccount();
