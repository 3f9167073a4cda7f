// Elements, messages, menus and dialogs. Texts are set as text, never as HTML.

export const query = (selector, within = document) => within.querySelector(selector);
export const queryAll = (selector, within = document) => [...within.querySelectorAll(selector)];

/**
 * Make an element. Of `props`, `class`, `dataset` (an object), `style` (an object), `on` (listeners by event) and names with a hyphen are
 * treated as their names say; others are properties, such as `type`, `hidden`, `title`. Children are nodes or texts; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (name.includes("-") || !(name in element)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Say something to screen readers only. */
export function announce(text) {
  const place = query("#announcements");
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = text; });
}

/**
 * Show a message in the corner for some seconds; longer while it has the focus or the pointer. `action` is {label, run}.
 * Returns {close, closed}: `closed` is a promise of whether the action was chosen.
 */
export function toast(text, { action, kind = "plain", seconds = action ? 8 : 5 } = {}) {
  const { promise, resolve } = promiseWithResolve();
  const element = h("div", { class: "toast", dataset: { kind } }, h("span", {}, text));
  const close = (chosen = false) => {
    clearTimeout(timer);
    element.remove();
    resolve(chosen);
  };
  const wait = () => setTimeout(close, seconds * 1000);
  let timer = wait();
  for (const event of ["pointerenter", "focusin"]) element.addEventListener(event, () => clearTimeout(timer));
  for (const event of ["pointerleave", "focusout"]) element.addEventListener(event, () => { clearTimeout(timer); timer = wait(); });
  if (action) {
    element.append(h("button", { type: "button", on: { click: () => { close(true); action.run(); } } }, action.label));
  } else {
    element.append(h("button", { type: "button", "aria-label": "Close the message", on: { click: () => close() } }, "×"));
  }
  query("#toasts").append(element);
  announce(action ? `${text} ${action.label} is possible for ${seconds} seconds.` : text);
  return { close, closed: promise };
}

/** Show a <dialog>; a promise of the value of the button that closed it, "" where it was dismissed. */
export function openDialog(dialog) {
  const { promise, resolve } = promiseWithResolve();
  dialog.returnValue = "";
  dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  if (!dialog.isConnected) {
    document.body.append(dialog);
    dialog.addEventListener("close", () => dialog.remove(), { once: true });
  }
  dialog.showModal();
  return promise;
}

/** Open a menu below its button. `items` are {label, icon?, run} or {label, href, download?}; arrow keys move, Escape closes. */
export function menu(button, items) {
  const entries = items.map(({ label, icon, run, href, download }) => h(
    href ? "a" : "button",
    { role: "menuitem", tabindex: "-1", ...(href ? { href, download } : { type: "button" }), on: { click: () => { close(); run?.(); } } },
    icon, label,
  ));
  const element = h("div", { class: "menu", role: "menu", on: { keydown: move, focusout: leave } }, entries);
  document.body.append(element);
  place(element, button);
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  entries[0]?.focus();

  function close(focus = true) {
    element.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (focus) button.focus();
  }
  function outside(event) {
    if (!element.contains(event.target)) close(false);
  }
  function leave(event) {
    if (event.relatedTarget && !element.contains(event.relatedTarget)) close(false);
  }
  function move(event) {
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      entries.at(to % entries.length).focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      close();
    }
  }
}

function place(element, button) {
  const box = button.getBoundingClientRect();
  const left = Math.min(box.left, document.documentElement.clientWidth - element.offsetWidth - 8);
  const below = box.bottom + element.offsetHeight + 8 < innerHeight;
  element.style.left = `${Math.max(8, left) + scrollX}px`;
  element.style.top = `${(below ? box.bottom + 4 : box.top - element.offsetHeight - 4) + scrollY}px`;
}

function promiseWithResolve() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}
