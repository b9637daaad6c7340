// The star: which sounds are in the collection Favourites, and putting them there.

import { patiently, request } from "./api.js";
import { announce, iconButton } from "./dom.js";
import { clear, notice } from "./notices.js";
import { partOf } from "./state.js";

export const FAVOURITES = "Favourites";
const AT_ONCE = 1000; // items that the server gives

let items = new Map(); // of a sound, the id of its item
let turn = Promise.resolve();

/** Do one thing after the other: no answer that was asked for before a star was pressed takes it back. */
function inTurn(task) {
  const done = turn.then(task);
  turn = done.catch(() => {});
  return done;
}

/** What the server calls a sound that is kept: the file, or a part of it. */
const keyOf = (sound) => (isWhole(sound) ? sound.id : partOf(sound));

/** Whether a find is all of its recording. */
export const isWhole = ({ start, end, duration }) => start <= 0.05 && end >= duration - 0.05;

export const isFavourite = (sound) => items.has(keyOf(sound));

/** Call back when stars have changed. */
export const onFavourites = (callback) => document.addEventListener("favouriteschange", callback);
const tell = () => document.dispatchEvent(new Event("favouriteschange"));

/** Ask the server which sounds are favourites. */
export const loadFavourites = () => inTurn(async () => {
  const { collections } = await patiently("api/collections");
  const there = collections.some(({ name }) => name === FAVOURITES);
  const found = there ? (await itemsOf(FAVOURITES)).items : [];
  items = new Map(found.filter(({ sound }) => sound).map(({ item, sound, start, end, whole }) => [
    whole ? sound.id : partOf({ id: sound.id, start, end }), item,
  ]));
  tell();
});

/** The first items of a collection, all by default, and how many there are. */
export async function itemsOf(name, { most = Infinity, signal } = {}) {
  const found = [];
  let total = 1;
  while (found.length < Math.min(most, total)) {
    const query = { name, offset: found.length, limit: Math.min(AT_ONCE, most - found.length) };
    const answer = await patiently("api/collections/items", { query, signal });
    total = answer.items.length ? answer.total : found.length; // some were taken out meanwhile
    found.push(...answer.items);
  }
  return { name, total, items: found };
}

/** Add sounds to a collection; gives the server's answer. */
export const collect = (name, { id, start, end }) => request("api/collections/items", { json: { name, parts: [{ id, start, end }] } });

/** Take an item out of a collection, also if somebody did already. */
export async function takeOut(name, item) {
  try {
    await request("api/collections/items", { method: "DELETE", query: { name, item } });
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** Make a sound a favourite, or take that back. */
export const toggleFavourite = (sound) => inTurn(async () => {
  const key = keyOf(sound);
  clear("collect");
  try {
    if (items.has(key)) {
      await takeOut(FAVOURITES, items.get(key));
      items.delete(key);
      announce(`${sound.name} is no favourite any more`);
    } else {
      const { items: [kept], failures } = await collect(FAVOURITES, sound);
      if (!kept) throw new Error(failures[0]);
      items.set(key, kept.item);
      announce(`${sound.name} is a favourite`);
    }
  } catch (error) {
    notice("collect", error, { about: sound.name, retry: () => toggleFavourite(sound) });
  }
  tell();
});

/** A star for a sound. */
export function starButton(sound) {
  const button = iconButton("star", `Favourite: ${sound.name}`, () => toggleFavourite(sound), { title: "Favourite (F)", "data-act": "star" });
  showStar(button, sound);
  return button;
}

/** Let a star tell whether a sound is a favourite. */
export const showStar = (button, sound) => button.setAttribute("aria-pressed", String(isFavourite(sound)));
