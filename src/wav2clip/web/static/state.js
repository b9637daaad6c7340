// What is shown lives in the address: a search can be shared, and back and forward work.
// The names are those of GET /api/search, so the page's query string is nearly the API's.

/** What files are counted by, in the order in which that is shown. */
export const FACETS = ["folder", "category", "format", "length", "rate", "channels"];
const LIMITS = ["min_duration", "max_duration"];
const TEXTS = ["q", "upload", ...LIMITS];
const LISTS = ["like", "unlike", "tag", ...FACETS]; // `like` and `unlike`: parts of sounds, `id@start-end`
const VIEWS = ["list", "browse", "map", "collections", "library"];
const QUERYLESS = ["browse", "collections"];
const SORTS = ["name", "path", "length", "rate", "channels", "modified", "size"];
const NARROWING = [...LIMITS, "tag", ...FACETS];

/** The state that an address tells; nonsense in it counts as absent. */
export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const state = Object.fromEntries(TEXTS.map((name) => [name, given.get(name)?.trim() ?? ""]));
  for (const name of ["min_duration", "max_duration"]) {
    if (!(Number(state[name]) >= 0 && Number.isFinite(Number(state[name])))) state[name] = "";
  }
  for (const name of LISTS) state[name] = [...new Set(given.getAll(name).filter(Boolean))];
  state.all_segments = given.get("all_segments") === "true";
  state.view = VIEWS.includes(given.get("view")) ? given.get("view") : "list";
  if (QUERYLESS.includes(state.view) && searches(state)) state.view = "list";
  state.collection = state.view === "collections" ? given.get("collection") ?? "" : "";
  state.sort = SORTS.includes(given.get("sort")) ? given.get("sort") : "name";
  state.order = given.get("order") === "desc" ? "desc" : "asc";
  return state;
}

/** What a state says, or only some of it, as the API takes it. */
function pairs(state, names = [...TEXTS, ...LISTS, "all_segments"]) {
  return names.flatMap((name) => [state[name]].flat().filter(Boolean).map((value) => [name, String(value)]));
}

/** The page's address for a state. */
export function href(state) {
  const query = new URLSearchParams(pairs(state));
  if (state.view !== "list") query.set("view", state.view);
  if (state.view === "collections" && state.collection) query.set("collection", state.collection);
  if (browses(state) && state.sort !== "name") query.set("sort", state.sort);
  if (browses(state) && state.order !== "asc") query.set("order", state.order);
  return query.size ? `?${query}` : location.pathname;
}

/** What GET /api/search is asked for a state. */
export const searchQuery = (state, limit) => [...pairs(state), ["limit", String(limit)]];

/** What GET /api/files is asked for it. */
export const filesQuery = (state, offset, limit) => [
  ...pairs(state, NARROWING), ["sort", state.sort], ["order", state.order], ["offset", String(offset)], ["limit", String(limit)],
];

/** What GET /api/facets is asked for it; `below` are folders that are open. */
export const facetsQuery = (state, below) => [...pairs(state, NARROWING), ...below.map((folder) => ["below", folder])];

export const searches = (state) => Boolean(state.q || state.like.length || state.upload);
/** Whether all files are listed, or those that pass the filters. */
export const browses = (state) => !searches(state)
  && (state.view === "browse" || (state.view === "list" && pairs(state, NARROWING).length > 0));

/** What the API calls a find: the recording, and the part of it that was found. */
export const partOf = ({ id, start, end }) => `${id}@${start}-${end}`;
/** Search for nothing, or for something else. */
export const nothing = { q: "", upload: "", like: [], unlike: [] };
/** Go to a view; some show the library without a query. */
export const toView = (view) => ({ ...(QUERYLESS.includes(view) ? nothing : {}), view, collection: "" });
export const filtered = (state) => pairs(state, [...NARROWING, "all_segments"]).length > 0;
export const unfiltered = {
  ...Object.fromEntries(LIMITS.map((name) => [name, ""])),
  ...Object.fromEntries(["tag", ...FACETS].map((name) => [name, []])),
  all_segments: false,
};

const listeners = [];
export const onState = (listener) => listeners.push(listener);
const tell = (how) => listeners.forEach((listener) => listener(read(), how));

/**
 * Change parts of the state. `replace` keeps it one step of the history; `live` is for what is
 * typed: the first letter makes a step, those after it change that step.
 */
export function go(changes, { replace = false, live = false } = {}) {
  const next = href({ ...read(), ...changes });
  const same = next === href(read());
  if (!same && (replace || (live && history.state?.live))) history.replaceState({ live }, "", next);
  else if (!same) history.pushState({ live }, "", next);
  else if (!live) history.replaceState({ live: false }, "", next);
  tell({ live, again: same });
}

addEventListener("popstate", () => tell({ live: false, again: false }));
