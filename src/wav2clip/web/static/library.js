// The library itself: what is in it, and bringing it up to date with a folder.

import { request } from "./api.js";
import { amount, byId, element, span } from "./dom.js";
import { jobBlock } from "./jobs.js";
import { clear, notice } from "./notices.js";

const form = byId("index");

/** `changed()` is called when indexing has ended. */
export function connectLibrary(changed) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear("index");
    const folder = form.elements.folder.value.trim();
    try {
      const { job } = await request("api/index", { json: { folder } });
      const { block, ended } = jobBlock(job, `Indexing ${folder}`);
      byId("index-jobs").prepend(block);
      if (await ended) changed();
    } catch (error) {
      notice("index", error);
    }
  });
}

export function showLibrary(library) {
  const figures = [
    ["Name", library.name],
    ["Files", library.files.toLocaleString("en")],
    ["Moments", library.segments.toLocaleString("en")],
    ["Length", span(library.seconds)],
    ["Model of sounds", library.model],
    ["Model of words and pictures", library.text_model],
  ];
  if (library.failures) figures.push(["Could not be read", `${amount(library.failures, "file")}; indexing the folder again names them`]);
  byId("figures").replaceChildren(...figures.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const allowed = library.index_folders;
  byId("index-folders").replaceChildren(...allowed.map((value) => element("option", { value })));
  if (!form.elements.folder.value && allowed.length) form.elements.folder.value = allowed[0];
  byId("index-allowed").textContent = allowed.length
    ? `Allowed: ${allowed.join(", ")}, and what lies below. wav2clip serve --folder adds others.`
    : "No folder may be indexed from here: start the server with wav2clip serve --folder FOLDER.";
}
