// What is shown lives in the address: a search can be shared, and back and forward work.
// The names are those of GET /api/search, so the page's query string is nearly the API's.

const TEXTS = ["q", "upload", "min_duration", "max_duration", "folder"];
const LISTS = ["like", "unlike", "tag"]; // of sounds or parts of them, `id@start-end`, and of tags
const VIEWS = ["list", "map", "library"];
export const FILTERS = ["min_duration", "max_duration", "folder", "tag", "all_segments"];

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
  return state;
}

function pairs(state) {
  const kept = TEXTS.filter((name) => state[name]).map((name) => [name, state[name]]);
  for (const name of LISTS) kept.push(...state[name].map((value) => [name, value]));
  if (state.all_segments) kept.push(["all_segments", "true"]);
  return kept;
}

/** The page's address for a state. */
export function href(state) {
  const query = new URLSearchParams(pairs(state));
  if (state.view !== "list") query.set("view", state.view);
  return query.size ? `?${query}` : location.pathname;
}

/** What GET /api/search is asked for a state. */
export const searchQuery = (state, limit) => [...pairs(state), ["limit", String(limit)]];

export const searches = (state) => Boolean(state.q || state.like.length || state.upload);

/** What the API calls a find: the recording, and the part of it that was found. */
export const partOf = ({ id, start, end }) => `${id}@${start}-${end}`;
/** Search for nothing, or for something else. */
export const nothing = { q: "", upload: "", like: [], unlike: [] };
export const filtered = (state) => FILTERS.some((name) => (Array.isArray(state[name]) ? state[name].length : state[name]));
export const unfiltered = { min_duration: "", max_duration: "", folder: "", tag: [], all_segments: false };

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
