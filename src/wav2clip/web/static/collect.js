// The dialog that adds a sound to a collection: one that is there, or a new one.

import { request } from "./api.js";
import { amount, announce, byId, element } from "./dom.js";
import { collect, FAVOURITES, loadFavourites } from "./favourites.js";
import { problem } from "./notices.js";

const dialog = byId("collect");
const form = byId("collect-form");
let sound = null;
let changed = () => {};

/** `after()` is called when something was added. */
export function connectCollect(after) {
  changed = after;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(form.elements.name.value.trim());
  });
}

/** Ask where a sound is to be kept. */
export async function openCollect(given) {
  sound = given;
  byId("collect-name").textContent = sound.name;
  byId("collect-problem").replaceChildren();
  form.reset();
  try {
    show((await request("api/collections")).collections);
  } catch (error) {
    show([]);
    byId("collect-problem").replaceChildren(problem(error));
  }
  if (!dialog.open) dialog.showModal();
}

function show(collections) {
  const names = byId("collect-names");
  names.replaceChildren(...collections.map(({ name, items }) => {
    const button = element("button", { type: "button", class: "chip" },
      element("bdi", { class: "words" }, name), element("span", { class: "fine" }, amount(items, "sound")));
    button.addEventListener("click", () => add(name));
    return element("li", {}, button);
  }));
  names.hidden = !collections.length;
}

async function add(name) {
  const submit = form.querySelector("[type=submit]");
  submit.disabled = true;
  try {
    const { new: added, failures } = await collect(name, sound);
    if (failures.length) throw new Error(failures.join("; "));
    if (name === FAVOURITES) await loadFavourites();
    dialog.close();
    announce(added ? `Added ${sound.name} to ${name}` : `${sound.name} is in ${name} already`);
    changed();
  } catch (error) {
    byId("collect-problem").replaceChildren(problem(error));
  } finally {
    submit.disabled = false;
  }
}
