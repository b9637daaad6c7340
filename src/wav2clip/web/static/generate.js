// A picture of a sound, growing while one watches. It goes on when the dialog is closed.

import { request } from "./api.js";
import { byId, element } from "./dom.js";
import { jobBlock } from "./jobs.js";
import { clear, notice, problem } from "./notices.js";

const dialog = byId("generate");
const form = byId("generate-form");
let source = null;

export function connectGenerate() {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear("generate");
    const wanted = Object.fromEntries(["steps", "size", "seed"].map((name) => [name, Number(form.elements[name].value)]));
    try {
      const { job } = await request("api/generate", { json: { ...source.given, ...wanted } });
      await watch(job, source.name);
    } catch (error) {
      byId("generate-result").replaceChildren(problem(error));
    }
  });
}

/** Open the panel for a sound of the library, `{ id }`, or an uploaded one, `{ upload }`. */
export function openGenerate(name, given) {
  if (source?.name !== name) byId("generate-result").replaceChildren();
  source = { name, given };
  byId("generate-name").textContent = name;
  dialog.showModal();
}

async function watch(job, name) {
  const picture = element("img", { alt: "", width: 256, height: 256, hidden: true });
  const show = (address) => Object.assign(picture, { src: address, hidden: false, alt: `Picture of ${name}, not finished` });
  const { block, ended } = jobBlock(job, `Picture of ${name}`, { onPreview: show });
  byId("generate-result").replaceChildren(picture, block);
  const submit = form.querySelector("[type=submit]");
  submit.disabled = true;
  const last = await ended;
  submit.disabled = false;
  if (last?.state === "done" && last.result) {
    Object.assign(picture, { src: last.result, hidden: false, alt: `Picture of ${name}` });
    block.append(element("a", { href: last.result, download: `${name}.png` }, "Download"));
  } else if (last?.state === "failed") {
    notice("generate", { what: `No picture of ${name}`, action: last.message });
    block.replaceWith(problem({ what: last.message }));
  }
}
