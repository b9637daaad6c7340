// Before the first search: what can be asked here, with words that this library has tags for.

import { amount, byId, element, span } from "./dom.js";
import { go, href, read } from "./state.js";

const SUGGESTIONS = ["rain on a roof", "footsteps on gravel", "a door closing", "a dog barking", "wind in trees", "a bell"];

export function showWelcome(library, { hidden }) {
  const section = byId("welcome");
  section.hidden = hidden;
  const shown = `${library.files} ${library.failures}`;
  if (hidden || section.dataset.shown === shown) return;
  section.dataset.shown = shown;
  const words = library.tags.length >= 3 ? library.tags.slice(0, 8).map(({ tag }) => tag) : SUGGESTIONS;
  const list = element("ul", { class: "suggestions", "aria-label": "Try" }, ...words.map((word) => {
    const button = element("button", { type: "button", class: "chip" }, word);
    button.addEventListener("click", () => go({ q: word }));
    return element("li", {}, button);
  }));
  section.replaceChildren(
    element("h2", {}, `${amount(library.files, "sound")}, ${span(library.seconds)}`),
    element("p", {}, "Type what you want to hear, or drop a picture or a sound anywhere on this page, paste one, or record one."),
    list,
    element("p", {}, "Or ", element("a", { href: href({ ...read(), view: "browse" }), "data-view": "browse" }, "browse all of them"), "."),
    element("p", { class: "fine" }, "Add and take away with signs that stand alone: ",
      element("code", {}, "rain + 0.5*thunder - voices")),
    library.failures ? element("p", {}, element("a", { href: "?view=library", "data-view": "library" },
      `${amount(library.failures, "file")} could not be indexed`), ".") : "",
  );
}
