// The view of the collections: which there are, what is in one of them, and what to do with it.

import { request } from "./api.js";
import { amount, announce, byId, element, icon } from "./dom.js";
import { FAVOURITES, itemsOf, loadFavourites, onFavourites, takeOut } from "./favourites.js";
import { clear, notice, problem } from "./notices.js";
import { showResults } from "./results.js";
import { go, href, read } from "./state.js";

const PAGE = 40; // sounds shown at once, and more when asked for
const EMPTY = "Nothing is kept here yet. The star of a sound makes it one of your Favourites; the button beside the star "
  + "adds it to any other collection.";

const section = byId("collections");
const renaming = byId("rename-collection");
const deleting = byId("delete-collection");
let shown = null; // { name, total, items }: the collection that is open
let asking = null;

export function connectCollections() {
  byId("collection-rename").addEventListener("click", () => {
    byId("rename-problem").replaceChildren();
    byId("rename-name").value = shown.name;
    renaming.showModal();
  });
  byId("rename-form").addEventListener("submit", (event) => {
    event.preventDefault();
    rename(byId("rename-name").value.trim());
  });
  byId("collection-delete").addEventListener("click", () => {
    byId("delete-name").textContent = `${shown.name}: ${amount(shown.total, "sound")}`;
    deleting.showModal();
  });
  onFavourites(() => {
    if (shown?.name === FAVOURITES) showAgain();
  });
  byId("delete-yes").addEventListener("click", () => {
    deleting.close();
    remove(shown.name);
  });
}

/** Leave the view. */
export function hideCollections() {
  asking?.abort();
  section.hidden = true;
}

/** Show the collections, and what is in the one that a state names, or else in the first. */
export async function showCollections(state, { count = PAGE, silent = false } = {}) {
  asking?.abort();
  if (state.view !== "collections") return;
  const asked = new AbortController();
  asking = asked;
  section.hidden = false;
  try {
    const { collections } = await request("api/collections", { signal: asked.signal });
    const names = collections.map(({ name }) => name);
    const name = state.collection || (names.includes(FAVOURITES) ? FAVOURITES : names[0]) || "";
    const known = names.includes(name);
    const answer = known ? await itemsOf(name, { most: count, signal: asked.signal }) : { name, total: 0, items: [] };
    clear("collections");
    shown = answer;
    showNames(collections, name);
    present(known);
    if (!silent) announce(known ? `${name}: ${amount(answer.total, "sound")}` : byId("no-collections").textContent);
  } catch (error) {
    if (error.name === "AbortError") return;
    notice("collections", error, { retry: () => showCollections(state, { count }) });
  }
}

/** Show more of the collection. */
export const showMore = () => showCollections(read(), { count: shown.items.length + PAGE });

/** Show what is in the collection now; where a row has gone that had the focus, its neighbour gets it. */
export async function showAgain() {
  if (section.hidden || !shown) return;
  const rows = () => [...byId("results").children];
  const at = rows().findIndex((row) => row.contains(document.activeElement));
  await showCollections(read(), { count: Math.max(PAGE, shown.items.length), silent: true });
  if (at < 0 || byId("results").contains(document.activeElement)) return;
  const next = rows()[Math.min(at, rows().length - 1)];
  (next?.querySelector(".play") ?? section).focus();
}

function showNames(collections, chosen) {
  const list = byId("collection-names");
  const focused = list.contains(document.activeElement);
  list.replaceChildren(...collections.map(({ name, items }) => {
    const link = element("a", { class: "chip", href: href({ ...read(), collection: name }), "aria-current": name === chosen ? "true" : undefined },
      element("bdi", { class: "words" }, name), element("span", { class: "fine" }, items.toLocaleString("en"), element("span", { class: "hidden" }, " sounds")));
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go({ collection: name });
    });
    return element("li", {}, link);
  }));
  list.hidden = !collections.length;
  if (focused) list.querySelector("[aria-current]")?.focus();
}

function present(known) {
  const { name, total, items } = shown;
  byId("collection-tools").hidden = !known;
  byId("no-collections").hidden = known;
  byId("no-collections").textContent = name ? `There is no collection called ${name}.` : EMPTY;
  byId("found").hidden = !known;
  byId("unlikely").hidden = true;
  document.title = `${known ? `${name} · ` : ""}collections · wav2clip`;
  for (const format of ["m3u8", "csv"]) {
    byId(`collection-${format}`).href = `api/collections/export?${new URLSearchParams({ name, format })}`;
  }
  showResults(items.map(asSound));
  byId("found-title").replaceChildren(element("bdi", {}, name), " ", element("span", { class: "fine" }, amount(total, "sound")));
  byId("more").hidden = items.length >= total;
}

/** An item as the rows and the player take a sound. */
const asSound = ({ sound, ...item }) => ({
  tags: [], waveform: null, ...sound, ...item, id: sound?.id ?? "", peak: item.start, words: [],
  takeOut: () => takeAway(item),
});

async function takeAway({ item, name }) {
  try {
    await takeOut(shown.name, item);
    announce(`Took ${name} out`);
    if (shown.name === FAVOURITES) await loadFavourites(); // which shows what is left
    else await showAgain();
  } catch (error) {
    notice("collections", error, { about: name });
  }
}

async function rename(name) {
  try {
    await request("api/collections/rename", { json: { name: shown.name, new: name } });
    renaming.close();
    if ([shown.name, name].includes(FAVOURITES)) await loadFavourites();
    go({ collection: name }, { replace: true });
  } catch (error) {
    byId("rename-problem").replaceChildren(problem(error));
  }
}

async function remove(name) {
  try {
    await request("api/collections", { method: "DELETE", query: { name } });
    if (name === FAVOURITES) await loadFavourites();
    go({ collection: "" }, { replace: true });
    section.focus();
  } catch (error) {
    notice("collections", error, { about: name });
  }
}
