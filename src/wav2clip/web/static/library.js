// The library itself: what is in it, and bringing it up to date with a folder.

import { request } from "./api.js";
import { byId, element, span } from "./dom.js";
import { connectFailures, showFailures } from "./failures.js";
import { connectChooser, showChooser } from "./folders.js";
import { jobBlock } from "./jobs.js";
import { clear, notice } from "./notices.js";

const form = byId("index");

/** `changed()` is called when indexing has ended. */
export function connectLibrary(changed) {
  connectChooser();
  connectFailures();
  const watch = async (job, title) => {
    const pressed = document.activeElement;
    const { block, ended } = jobBlock(job, title);
    byId("index-jobs").prepend(block);
    if (!await ended) return;
    await changed();
    byId("failures").open = !byId("failures").hidden;
    // With the first sounds the page shows what can be searched, and hides the button that was pressed:
    // browsers take the focus from it when they draw next, and give it to nothing.
    const lost = [pressed, document.body].includes(document.activeElement) && !pressed.checkVisibility();
    if (lost) byId("main").focus();
  };
  request("api/jobs").then((jobs) => { // begun by another page, or before this one was loaded anew
    for (const job of jobs) if (job.kind === "index") watch(job, "Indexing");
  }, () => {}); // that the server is gone is said elsewhere
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear("index");
    const folder = form.elements.folder.value.trim();
    try {
      const { job } = await request("api/index", { json: { folder } });
      watch(job, `Indexing ${folder}`);
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
  byId("figures").replaceChildren(...figures.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const first = library.files === 0;
  byId("library-title").textContent = first ? "No sounds yet" : "Library";
  byId("figures").hidden = first;
  byId("first").hidden = !first;
  showFailures(library);
  showChooser(library);
  const allowed = library.index_folders;
  byId("index-folders").replaceChildren(...allowed.map((value) => element("option", { value })));
  if (!form.elements.folder.value && allowed.length && !library.any_folder) form.elements.folder.value = allowed[0];
  byId("index-allowed").textContent = library.any_folder
    ? "Until the server stops any folder of this machine can be indexed; later those that the sounds lie in."
    : allowed.length ? `Allowed: ${allowed.join(", ")}, and what lies below. wav2clip serve --folder adds others.`
    : "No folder may be indexed from here: start the server with wav2clip serve --folder FOLDER.";
}
