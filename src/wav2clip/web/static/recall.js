// The search box recalls: saved searches and the last ones, as the list of a combobox.

import { byId, element } from "./dom.js";
import { describe, last, remember, saved, stateOf } from "./recalls.js";
import { go, onState, read } from "./state.js";

const phrase = byId("phrase");
const box = phrase.closest(".box");
const panel = byId("recall");
const list = byId("recall-list");
const button = byId("recall-open");
let options = []; // { item, address }
let active = -1;
let typed = false; // what is typed is searched while one types, and remembered when one leaves it

export function connectRecall() {
  remember(read());
  onState((state, { live }) => {
    typed = live;
    if (!live) remember(state);
  });
  phrase.addEventListener("blur", () => {
    if (typed) remember(read());
    typed = false;
  });
  phrase.addEventListener("input", close);
  // Before the page's own keys, of which Arrow down leads into the finds while the list is closed.
  phrase.addEventListener("keydown", onKey, { capture: true });
  button.addEventListener("click", () => {
    if (panel.hidden) open();
    else close();
    phrase.focus();
  });
  panel.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("button")) event.preventDefault(); // the box keeps the focus
  });
  box.addEventListener("focusout", (event) => {
    if (!box.contains(event.relatedTarget)) close();
  });
}

function open() {
  options = [];
  const groups = [
    group("Saved", saved().map(({ name, address }) => option(address, name))),
    group("Last searches", last().map((address) => option(address))),
  ].filter(Boolean);
  const nothing = element("div", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "fine" }, "No searches yet");
  list.replaceChildren(...(groups.length ? groups : [nothing]));
  show(true);
  activate(-1);
}

export function close() {
  show(false);
  activate(-1);
}

function show(on) {
  panel.hidden = !on;
  for (const control of [phrase, button]) control.setAttribute("aria-expanded", String(on));
}

function group(title, items) {
  if (!items.length) return null;
  return element("div", { role: "group", "aria-label": title }, element("p", { class: "fine", "aria-hidden": "true" }, title), ...items);
}

function option(address, name) {
  const { words, narrowed } = describe(address);
  const item = element("div", { role: "option", id: `recall-${options.length}`, "aria-selected": "false" },
    element("bdi", { class: "words" }, name ?? words), " ",
    element("bdi", { class: "fine" }, [name === undefined ? "" : words, narrowed].filter(Boolean).join(", ")));
  item.addEventListener("click", () => choose(address));
  options.push({ item, address });
  return item;
}

function activate(index) {
  options[active]?.item.setAttribute("aria-selected", "false");
  active = options[index] ? index : -1;
  if (active < 0) {
    phrase.removeAttribute("aria-activedescendant");
    return;
  }
  const { item } = options[active];
  item.setAttribute("aria-selected", "true");
  phrase.setAttribute("aria-activedescendant", item.id);
  item.scrollIntoView({ block: "nearest" });
}

/** Search again; on the map, if that is what one looks at. */
function choose(address) {
  close();
  const state = stateOf(address);
  go(document.body.dataset.view === "map" && state.view === "list" && state.q ? { ...state, view: "map" } : state);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const { key, altKey } = event;
  if (panel.hidden) {
    if (!(altKey ? key === "ArrowDown" : key === "ArrowUp")) return;
    open();
  } else if (key === "Escape" || (altKey && key === "ArrowUp")) {
    close();
  } else if (key === "ArrowDown") {
    activate((active + 1) % options.length);
  } else if (key === "ArrowUp") {
    activate((active <= 0 ? options.length : active) - 1);
  } else if (key === "Enter" && active >= 0) {
    choose(options[active].address);
  } else {
    if (key === "Enter") close();
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
}
