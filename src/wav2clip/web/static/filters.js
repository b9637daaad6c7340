// Filters: length, folder, tags, and whether a file is shown once or with every moment.

import { amount, byId, element, icon } from "./dom.js";
import { filtered, go, read, unfiltered } from "./state.js";

const form = byId("filters");

export function connectFilters() {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    const { name, value, checked, type } = event.target;
    if (!name) return;
    if (name === "tag") {
      if (value) go({ tag: [...read().tag, value] });
    } else if (type === "checkbox") {
      go({ [name]: checked });
    } else if (event.target.reportValidity()) {
      go({ [name]: value });
    }
  });
  byId("clear-filters").addEventListener("click", () => {
    go(unfiltered);
    form.elements.min_duration.focus();
  });
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

/** Show the filters of a state. */
export function showFilters(state) {
  const { elements } = form;
  elements.min_duration.value = state.min_duration;
  elements.max_duration.value = state.max_duration;
  if (state.folder && ![...elements.folder.options].some((option) => option.value === state.folder)) {
    elements.folder.append(element("option", { value: state.folder }, state.folder));
  }
  elements.folder.value = state.folder;
  byId("tags").value = "";
  elements.all_segments.checked = state.all_segments;
  byId("chosen-tags").replaceChildren(...state.tag.map(chosen));
  byId("chosen-tags").hidden = !state.tag.length;
  byId("clear-filters").hidden = !filtered(state);
}

function chosen(tag) {
  const button = element("button", { type: "button", class: "chip", title: "Take this tag away" },
    tag, icon("close"), element("span", { class: "hidden" }, ": take away"));
  button.addEventListener("click", () => {
    go({ tag: read().tag.filter((each) => each !== tag) });
    byId("tags").focus();
  });
  return element("li", {}, button);
}
