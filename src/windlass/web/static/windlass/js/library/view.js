// What the library shows: search, filters, order and layout. The address has it all, so that back, reload and a copied link keep it.

export const DEFAULT_SORT = "-created";
const FIELDS = ["q", "kind", "status", "from", "to", "owner"];
const LAYOUT = "windlass-layout"; // in localStorage: the layout that the visitor chose last

/** Groups of statuses, by their names in the address. */
const STATUSES = {
  ready: ["READY"],
  processing: ["PENDING", "PROCESSING"],
  refused: ["REJECTED", "QUARANTINED"],
  failed: ["FAILED"],
  released: ["RELEASED"],
};

export function readView() {
  const given = new URLSearchParams(location.search);
  const view = Object.fromEntries(FIELDS.map((name) => [name, given.get(name) ?? ""]));
  return {
    ...view,
    sort: given.get("sort") ?? DEFAULT_SORT,
    layout: given.get("layout") ?? remembered() ?? "list",
    trash: given.has("trash"),
  };
}

/** The address of this page with another view; parameters of other parts of the page stay. */
export function addressOf(view) {
  const search = new URLSearchParams(location.search);
  const set = (name, value) => (value ? search.set(name, value) : search.delete(name));
  for (const name of FIELDS) set(name, view[name]);
  set("sort", view.sort === DEFAULT_SORT ? "" : view.sort);
  set("layout", view.layout);
  set("trash", view.trash ? "1" : "");
  const text = search.toString();
  return location.pathname + (text ? `?${text}` : "");
}

export const isFiltered = (view) => FIELDS.some((name) => view[name]);
export const withoutFilters = (view) => ({ ...view, ...Object.fromEntries(FIELDS.map((name) => [name, ""])) });

/** The query of GET /files/ for a view. Dates are days of the visitor's clock. */
export function listQuery(view, limit) {
  const query = new URLSearchParams({ limit });
  for (const name of ["q", "kind", "owner"]) if (view[name]) query.set(name, view[name]);
  for (const status of STATUSES[view.status] ?? []) query.append("status", status);
  const [from, to] = [startOfDay(view.from, 0), startOfDay(view.to, 1)];
  if (from) query.set("from", from);
  if (to) query.set("to", to);
  if (view.sort !== DEFAULT_SORT) query.set("sort", view.sort);
  if (view.trash) query.set("trashed", "true");
  return query.toString();
}

/** The query of GET /search/ for a view; empty where it has no text to search for, or filters that only the list knows. */
export function textQuery(view, limit) {
  if (!view.q || view.trash || view.owner || !["", "ready"].includes(view.status)) return "";
  const query = new URLSearchParams({ q: view.q, limit });
  if (view.kind) query.set("kind", view.kind);
  const [from, to] = [startOfDay(view.from, 0), startOfDay(view.to, 1)];
  if (from) query.set("from", from);
  if (to) query.set("to", to);
  return query.toString();
}

export function rememberLayout(layout) {
  try {
    localStorage.setItem(LAYOUT, layout);
  } catch { /* storage is switched off: the address still has it */ }
}

function remembered() {
  try {
    return localStorage.getItem(LAYOUT);
  } catch {
    return null;
  }
}

function startOfDay(day, later) {
  const [year, month, date] = day.split("-").map(Number);
  const moment = new Date(year, month - 1, date + later);
  return Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
}
