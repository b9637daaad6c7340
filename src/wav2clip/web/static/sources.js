// What is searched with besides words, as chips: a sound of the library, a picture or sound of one's own.

import { request } from "./api.js";
import { byId, clock, element, icon, iconButton } from "./dom.js";
import { go, read } from "./state.js";
import { fileOf, uploadOf } from "./uploads.js";

const section = byId("sources");
const names = new Map();
let waiting = null;
let key = "";

/** Show the chips of a state. */
export function showSources(state) {
  const next = `${state.like} ${state.unlike} ${state.upload} ${Boolean(waiting)}`;
  if (next === key) return;
  key = next;
  const chips = [];
  chips.push(...state.like.map((part) => likeChip("like", part)));
  chips.push(...state.unlike.map((part) => likeChip("unlike", part)));
  if (state.upload) chips.push(uploadChip(state.upload));
  if (waiting) chips.push(waiting);
  section.replaceChildren(...chips);
  section.hidden = !chips.length;
}

/** Show that a file is on its way; call what this returns when it is not any more. */
showSources.busy = (name) => {
  waiting = element("span", { class: "chip waiting" }, `Reading ${name}…`);
  section.append(waiting);
  section.hidden = false;
  const own = waiting;
  return () => {
    own.remove();
    if (waiting === own) waiting = null;
    section.hidden = !section.childElementCount;
  };
};

function likeChip(kind, part) {
  const [id, span] = part.split("@");
  const words = element("bdi", {}, names.get(id) ?? "a sound of the library");
  if (!names.has(id)) {
    request(`api/files/${id}`).then((file) => {
      names.set(id, file.name);
      words.textContent = file.name;
    }, () => {});
  }
  const at = span ? ` ${span.split("-").map((seconds) => clock(Number(seconds))).join(" to ")}` : "";
  const remove = () => go({ [kind]: read()[kind].filter((each) => each !== part) });
  return chip(icon(kind === "like" ? "like" : "bad"), [kind === "like" ? "like " : "not ", words, at], remove);
}

function uploadChip(id) {
  const known = uploadOf(id);
  const held = fileOf(id);
  const picture = known?.kind === "picture" && held
    ? element("img", { src: held.address, alt: "", height: 40 })
    : icon(known?.kind === "picture" ? "picture" : "file");
  return chip(picture, [element("bdi", {}, known?.name ?? "a file that was dropped")], () => go({ upload: "" }));
}

function chip(picture, words, takeAway) {
  const remove = iconButton("close", "Take this away", () => {
    takeAway();
    byId("phrase").focus();
  });
  return element("span", { class: "chip" }, picture, element("span", { class: "words" }, ...words), remove);
}
