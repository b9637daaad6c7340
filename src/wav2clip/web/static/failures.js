// What could not be indexed: each file by name, with the reason.

import { request } from "./api.js";
import { amount, byId, element } from "./dom.js";
import { clear, notice } from "./notices.js";

const PAGE = 100;

const box = byId("failures");
const list = byId("failure-list");
const more = byId("failures-more");
let asked = null;

export function connectFailures() {
  box.addEventListener("toggle", () => {
    if (box.open && !list.childElementCount) load(0);
  });
  more.addEventListener("click", () => load(list.childElementCount));
}

/** Offer the list where there is something in it; what was shown is asked for again. */
export function showFailures({ failures }) {
  box.hidden = !failures;
  byId("failures-title").textContent = `${amount(failures, "file")} could not be indexed`;
  list.replaceChildren();
  more.hidden = true;
  if (failures && box.open) load(0);
}

async function load(offset) {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await request("api/failures", { query: { offset, limit: PAGE }, signal: asked.signal });
    clear("failures");
    const added = answer.failures.map(failure);
    list.append(...added);
    more.hidden = list.childElementCount >= answer.total;
    if (offset) added[0]?.focus();
  } catch (error) {
    if (error.name !== "AbortError") notice("failures", error, { retry: () => load(offset) });
  }
}

const failure = ({ name, path, reason }) => element("li", { tabIndex: -1 },
  element("bdi", { class: "name", title: path }, name), element("span", { class: "reason" }, reason),
  element("bdi", { class: "fine" }, path));
