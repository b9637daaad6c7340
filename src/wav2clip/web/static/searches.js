// The dialog of searches: save the one that is shown under a name, remove saved ones, forget the last ones.

import { announce, byId, element, iconButton } from "./dom.js";
import { close } from "./recall.js";
import { describe, forgetLast, keepable, last, remove, save, saved, stateOf } from "./recalls.js";
import { go, read } from "./state.js";

const dialog = byId("searches");
const form = byId("save-search");
const name = byId("search-name");

export function connectSearches() {
  byId("recall-manage").addEventListener("click", () => {
    close();
    show();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => byId("phrase").focus());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(name.value.trim());
  });
  name.addEventListener("input", () => name.setCustomValidity(""));
  byId("forget-last").addEventListener("click", () => {
    forgetLast();
    show();
    announce("The last searches are forgotten");
    name.focus();
  });
}

function keep(called) {
  const known = saved().some((each) => each.name === called);
  const problem = !called ? "Expected a name." : save(called, keepable(read())) ? ""
    : "100 searches are saved, which is all there is room for. Remove one first.";
  name.setCustomValidity(problem);
  if (!name.reportValidity()) return;
  name.value = "";
  show();
  announce(`${known ? "Replaced" : "Saved"} ${called}`);
}

function show() {
  const address = keepable(read());
  form.hidden = !address;
  byId("save-what").textContent = address ? told(address)
    : "Search for something in words, or choose filters, to save that here. Dropped files and marks cannot be saved: the server forgets them when it stops.";
  fill("saved-list", saved().map((each) => row(each.name, told(each.address), each.address,
    iconButton("close", `Remove ${each.name}`, () => {
      remove(each.name);
      show();
      announce(`Removed ${each.name}`);
      (byId("saved-list").querySelector("button") ?? byId("searches-close")).focus();
    }, { title: "Remove" }))));
  fill("last-list", last().map((each) => row(describe(each).words, describe(each).narrowed, each)));
  byId("forget-last").hidden = !last().length;
}

const told = (address) => Object.values(describe(address)).filter(Boolean).join(", ");

function fill(id, rows) {
  byId(id).replaceChildren(...rows);
  byId(id).parentElement.hidden = !rows.length;
}

function row(words, details, address, button) {
  const link = element("a", { href: address }, element("bdi", {}, words));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.close();
    go(stateOf(address));
  });
  return element("li", {}, element("div", {}, link, " ", element("bdi", { class: "fine" }, details)), button);
}
