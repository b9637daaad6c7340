// What the library can be narrowed down to: folders, categories, formats ..., each with its files counted.

import { request } from "./api.js";
import { byId, element, icon, settings } from "./dom.js";
import { nameValues, showFilters } from "./filters.js";
import { notice, clear } from "./notices.js";
import { facetsQuery, go, read } from "./state.js";

const SHOWN = 8; // values of a facet, before all are asked for
const TITLES = {
  folder: "Folder", category: "Category", format: "Format", length: "Length", rate: "Sample rate", channels: "Channels",
};
const WIDE = matchMedia("(min-width: 60rem)");

const box = byId("facets");
const list = byId("facet-list");
const open = new Set(); // folders and categories that show what is below them, `facet=value`
const long = new Set(); // facets that show all of their values
let told = null; // { key, answer }
let asking = null;

export function connectFacets() {
  box.open = settings.get("facets", WIDE.matches) && WIDE.matches;
  box.addEventListener("toggle", () => {
    if (WIDE.matches) settings.set("facets", box.open);
    showFacets(read());
  });
}

/** Forget what was counted: the library has changed. */
export function forgetFacets() {
  told = null;
}

/** Show what a state can be narrowed down to, if anybody looks. */
export async function showFacets(state, { hidden = box.hidden } = {}) {
  box.hidden = hidden;
  if (hidden || !box.open) return;
  const below = [...open].filter((key) => key.startsWith("folder=")).map((key) => key.slice(7));
  const query = facetsQuery(state, below);
  const key = new URLSearchParams(query).toString();
  if (told?.key === key) {
    draw(told.answer, state);
    return;
  }
  asking?.abort();
  const asked = new AbortController();
  asking = asked;
  try {
    const answer = await request("api/facets", { query, signal: asked.signal });
    told = { key, answer };
    clear("facets");
    for (const facet of Object.keys(TITLES)) nameValues(facet, answer[facet]);
    draw(answer, read());
    showFilters(read());
  } catch (error) {
    if (error.name === "AbortError" || error.status === 0) return; // the search says that the server is gone
    notice("facets", error, { retry: () => showFacets(read()) });
  }
}

/** Draw anew; what had the focus has it again. */
function draw(answer, state) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const blocks = Object.entries(TITLES)
    .filter(([facet]) => answer[facet].length > 1 || answer[facet][0]?.deeper || state[facet].length)
    .map(([facet, title]) => block(facet, title, answer[facet], state));
  list.replaceChildren(...blocks);
  box.classList.toggle("nothing", !blocks.length);
  if (focused) [...list.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
}

function block(facet, title, values, state) {
  const all = long.has(facet);
  const shown = all ? values : values.slice(0, SHOWN);
  const more = element("button", { type: "button", class: "quiet all", "data-key": `${facet} all`, "aria-expanded": String(all) },
    all ? "fewer" : `all ${values.length.toLocaleString("en")}`);
  more.addEventListener("click", () => flip(long, facet));
  return element("fieldset", { class: "facet" }, element("legend", {}, title),
    branch(facet, shown, state), values.length > SHOWN ? more : null);
}

function branch(facet, values, state) {
  return element("ul", {}, ...values.map((value) => leaf(facet, value, values, state)));
}

function leaf(facet, { value, name, files, deeper, parts }, siblings, state) {
  const key = `${facet}=${value}`;
  const check = element("input", { type: "checkbox", checked: state[facet].includes(value), "data-key": key });
  check.addEventListener("change", () => choose(facet, value, check.checked));
  const label = element("label", { class: "check", title: name }, check, element("span", { class: "name" }, name),
    element("span", { class: "number" }, files.toLocaleString("en"), element("span", { class: "hidden" }, " files")));
  const item = element("li", {}, element("div", { class: "leaf" }, label));
  if (!deeper) return item;
  // The only root is open from the start, as the server has it.
  const shown = open.has(key) || (facet === "folder" && siblings.length === 1 && parts.length > 0);
  const unfold = element("button", { type: "button", class: "quiet unfold", "aria-expanded": String(shown), "data-key": `${key} below` },
    icon("unfold"), element("span", { class: "hidden" }, `What is in ${name}`));
  unfold.addEventListener("click", () => flip(open, key));
  item.firstChild.prepend(unfold);
  if (shown) item.append(branch(facet, parts, state));
  return item;
}

function flip(set, key) {
  if (!set.delete(key)) set.add(key);
  showFacets(read());
}

function choose(facet, value, on) {
  const others = read()[facet].filter((each) => each !== value);
  go({ [facet]: on ? [...others, value] : others });
}
