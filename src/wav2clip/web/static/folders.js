// Choosing a folder of this machine: places to begin with, what lies in each folder, and typed paths that are completed.

import { request } from "./api.js";
import { amount, announce, byId, element, icon } from "./dom.js";
import { clear, notice } from "./notices.js";

const TYPING = 150; // ms without a key before what is typed is completed

const box = byId("chooser");
const list = byId("chooser-list");
const field = byId("index-folder");
let shown = null; // the answer that is shown
let asked = null;
let completing = null;
let typing = 0;

export function connectChooser() {
  box.addEventListener("toggle", () => {
    if (box.open && !shown) look(null);
  });
  byId("chooser-up").addEventListener("click", up);
  list.addEventListener("keydown", onKey);
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(complete, TYPING);
  });
}

/** Show the chooser where folders may be indexed, and open it where there is nothing else to do. */
export function showChooser(library) {
  box.hidden = !library.any_folder && !library.index_folders.length;
  if (!box.hidden && library.files === 0) box.open = true;
}

/** List a folder; `chosen` also takes it for the one to be indexed. */
async function look(path, { chosen = false } = {}) {
  asked?.abort();
  const own = new AbortController();
  asked = own;
  try {
    const answer = await request("api/folders", { query: path ? { path } : {}, signal: own.signal });
    clear("folders");
    draw(answer, chosen);
  } catch (error) {
    if (error.name !== "AbortError") notice("folders", error, { retry: () => look(path, { chosen }) });
  }
}

const up = () => shown?.parent && look(shown.parent, { chosen: true });
const sounds = (count) => (count === null ? "" : count ? amount(count, "sound") : "");

function draw(answer, chosen) {
  const before = shown?.folder.path;
  const focused = box.contains(document.activeElement);
  shown = answer;
  const { folder, folders, places, parent, whole } = answer;
  if (places.length) byId("places").replaceChildren(...places.map((place) => element("li", {}, opener(place, "chip"))));
  byId("chooser-here").replaceChildren(element("bdi", {}, folder.name),
    element("span", { class: "fine" }, ` ${sounds(folder.sounds)}`));
  byId("chooser-up").disabled = !parent;
  list.replaceChildren(...folders.map((each) => element("li", {}, opener(each, "folder"))));
  byId("chooser-rest").textContent = whole
    ? (folders.length ? "" : "No folders in it.")
    : "There are more folders than are shown. Type the beginning of a name above.";
  const rows = [...list.querySelectorAll("button")];
  const first = Math.max(rows.findIndex((row) => row.dataset.path === before), 0); // where one comes from
  rows.forEach((row, index) => { row.tabIndex = index === first ? 0 : -1; });
  if (!chosen) return;
  field.value = folder.path;
  announce(`${folder.name}: ${amount(folders.length, "folder")}${folder.sounds ? `, ${sounds(folder.sounds)}` : ""}`);
  if (focused) (rows[first] ?? (parent ? byId("chooser-up") : byId("places").querySelector("button")))?.focus();
}

function opener({ name, path, sounds: count }, kind) {
  const row = element("button", { type: "button", class: kind, "data-path": path }, icon("library"),
    element("bdi", { class: "words" }, name), element("span", { class: "number" }, sounds(count)));
  row.addEventListener("click", () => look(path, { chosen: true }));
  return row;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...list.querySelectorAll("button")];
  const at = rows.indexOf(document.activeElement);
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 };
  if (event.key in moves) {
    const next = Math.min(Math.max(moves[event.key], 0), rows.length - 1);
    rows.forEach((row, index) => { row.tabIndex = index === next ? 0 : -1; });
    rows[next].focus();
  } else if (event.key === "ArrowRight") {
    rows[at].click();
  } else if (event.key === "ArrowLeft" || event.key === "Backspace") {
    up();
  } else {
    return;
  }
  event.preventDefault();
}

/** Offer the folders that what is typed may become. */
async function complete() {
  completing?.abort();
  const own = new AbortController();
  completing = own;
  const [, path, starts] = /^(.*[/\\])?([^/\\]*)$/s.exec(field.value.trimStart());
  if (!path) return;
  try {
    const answer = await request("api/folders", { query: { path, starts }, signal: own.signal });
    byId("index-folders").replaceChildren(...answer.folders.map((folder) =>
      element("option", { value: folder.path }, folder.name)));
  } catch {
    // Half a path is no mistake while it is being typed; Index says what is wrong with a whole one.
  }
}
