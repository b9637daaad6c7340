// Filters: length, folders, tags, what the facets offer, and whether a file is shown once or with every part.

import { amount, byId, element, icon } from "./dom.js";
import { FACETS, filtered, go, read, unfiltered } from "./state.js";

const TYPING = 500; // ms without a key before a length that is typed counts

const form = byId("filters");
const names = new Map(); // of values of facets, `facet=value`, as people call them
let typing = 0;

export function connectFilters() {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (target.type !== "number") return;
    clearTimeout(typing);
    typing = setTimeout(() => limit(target, { live: true }), TYPING);
  });
  form.addEventListener("change", ({ target }) => {
    const { name, value, checked, type } = target;
    if (type === "number") {
      clearTimeout(typing);
      if (target.reportValidity()) limit(target);
    } else if (name === "folder") {
      go({ folder: value ? [value] : [] });
    } else if (name === "tag") {
      if (value) go({ tag: [...read().tag, value] });
    } else if (type === "checkbox") {
      go({ [name]: checked });
    }
  });
  byId("clear-filters").addEventListener("click", () => {
    go(unfiltered);
    form.elements.min_duration.focus();
  });
}

function limit(field, how) {
  if (field.validity.valid && field.value !== read()[field.name]) go({ [field.name]: field.value }, how);
}

/** Fill in what the library has to choose from. */
export function fillFilters(library) {
  const { folder } = form.elements;
  folder.replaceChildren(element("option", { value: "" }, "all"),
    ...library.folders.map((name) => element("option", { value: name }, name)));
  byId("tags").replaceChildren(element("option", { value: "" }, library.tags.length ? "any" : "no tags yet"),
    ...library.tags.map(({ tag, files }) => element("option", { value: tag, title: amount(files, "file") }, `${tag} (${files})`)));
  byId("tags").disabled = !library.tags.length;
  showFilters(read());
}

/** Remember what people call the values of a facet. */
export function nameValues(facet, values) {
  for (const { value, name, parts } of values) {
    names.set(`${facet}=${value}`, name);
    nameValues(facet, parts);
  }
}

/** Show the filters of a state. */
export function showFilters(state) {
  const { elements } = form;
  for (const name of ["min_duration", "max_duration"]) {
    const field = elements[name];
    // What is being typed may be half a number.
    if (field !== document.activeElement || !field.value || Number(field.value) !== Number(state[name])) {
      if (field.value !== state[name] && field.validity.valid) field.value = state[name];
    }
  }
  const [chosenFolder = ""] = state.folder.length === 1 ? state.folder : [];
  if (chosenFolder && ![...elements.folder.options].some((option) => option.value === chosenFolder)) {
    elements.folder.append(element("option", { value: chosenFolder }, chosenFolder));
  }
  elements.folder.value = chosenFolder;
  byId("tags").value = "";
  elements.all_segments.checked = state.all_segments;
  const chips = ["tag", ...FACETS].flatMap((facet) => state[facet].map((value) => chosen(facet, value)));
  byId("chosen").replaceChildren(...chips);
  byId("chosen").hidden = !chips.length;
  byId("clear-filters").hidden = !filtered(state);
}

function chosen(facet, value) {
  const name = facet === "folder" ? value : names.get(`${facet}=${value}`) ?? value;
  const button = element("button", { type: "button", class: "chip", title: "Take this filter away" },
    element("span", { class: "kind" }, `${facet} `), element("span", { class: "words" }, name),
    icon("close"), element("span", { class: "hidden" }, ": take away"));
  button.addEventListener("click", () => {
    go({ [facet]: read()[facet].filter((each) => each !== value) });
    (byId("chosen").querySelector("button") ?? byId("tags")).focus();
  });
  return element("li", {}, button);
}
