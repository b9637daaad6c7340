// Searches that are kept in this browser, as addresses of the page: the last ones, and those saved under a name.

import { settings } from "./dom.js";
import { browses, FACETS, filtered, href, read } from "./state.js";

const MOST_LAST = 30;
const MOST_SAVED = 100;

/** The state of an address that was kept; what is wrong in it counts as absent. */
export const stateOf = (address) => read(address);

/**
 * The address of a state as it can be kept, or null where nothing is searched for. Marks, "more like
 * this" and dropped files are left out: the server knows them only until it stops.
 */
export function keepable(state) {
  const view = state.view === "library" ? "list" : state.view;
  const kept = { ...state, upload: "", like: [], unlike: [], view };
  return kept.q || (browses(kept) && filtered(kept)) ? href(kept) : null;
}

/** What an address searches for, in words: the phrase, and what narrows it down. */
export function describe(address) {
  const state = stateOf(address);
  const lengths = [["at least", state.min_duration], ["at most", state.max_duration]];
  const narrowed = [
    ...lengths.filter(([, seconds]) => seconds).map(([words, seconds]) => `${words} ${seconds} s`),
    ...["tag", ...FACETS].flatMap((facet) => state[facet].map((value) => `${facet} ${value}`)),
    ...(state.all_segments ? ["every part of a file"] : []),
    ...(state.view === "map" ? ["on the map"] : []),
  ];
  return { words: state.q || "All sounds", narrowed: narrowed.join(", ") };
}

/** The last searches, the newest first. */
export const last = () => listed("last").filter(isAddress);

/** Remember a search; one that is known already moves up. How it was looked at does not matter. */
export function remember(state) {
  const address = keepable({ ...state, view: "list" });
  if (address) settings.set("last", [address, ...last().filter((each) => each !== address)].slice(0, MOST_LAST));
}

export const forgetLast = () => settings.set("last", []);

/** The saved searches, `{ name, address }`, by name. */
export const saved = () => listed("saved")
  .filter((each) => typeof each?.name === "string" && isAddress(each.address))
  .sort((one, other) => one.name.localeCompare(other.name));

/** Save a search under a name, in place of one of the same name. Whether there was room for it. */
export function save(name, address) {
  const others = saved().filter((each) => each.name !== name);
  if (others.length >= MOST_SAVED) return false;
  settings.set("saved", [...others, { name, address }]);
  return true;
}

export const remove = (name) => settings.set("saved", saved().filter((each) => each.name !== name));

/** What the browser holds may be anything: another version of the page, or a hand, may have written it. */
function listed(name) {
  const held = settings.get(name, []);
  return Array.isArray(held) ? held : [];
}

const isAddress = (given) => typeof given === "string" && given.startsWith("?");
