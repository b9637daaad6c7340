// What a dropped sound is heard as: zero-shot labels as bars, each a search of its own.

import { byId, clock, element, icon, relabel } from "./dom.js";
import { player } from "./player.js";
import { playable, fileOf } from "./uploads.js";
import { Waveform } from "./waveform.js";

const SHOWN = 8;
const section = byId("heard");
let shown = null;
let actions = {};

/** `search(phrase)`, `relabel(file, words)` and, where it is installed, `generate(upload)`. */
export function connectHeard(given) {
  actions = given;
  player.addEventListener("change", mark);
  player.addEventListener("time", () => {
    if (shown?.wave && player.sound?.id === shown.known.id) shown.wave.time = player.time;
  });
}

/** Show an upload, or nothing. */
export function showHeard(known) {
  const wanted = known?.kind === "sound" ? known : null;
  section.hidden = !wanted;
  if (shown?.known === wanted) return;
  shown = wanted && { known: wanted, sound: playable(wanted) };
  if (!wanted) return;
  section.replaceChildren(heading(), bars(wanted), otherWords(wanted));
  if (shown.canvas) {
    shown.wave = new Waveform(shown.canvas);
    shown.wave.sound = shown.sound ?? { id: wanted.id, peaks: wanted.waveform, duration: wanted.seconds, start: 0, end: wanted.seconds };
  }
  mark();
}

function heading() {
  const { known, sound } = shown;
  const top = element("div", { class: "dropped" });
  if (sound) {
    shown.play = element("button", { type: "button", class: "play" });
    shown.play.addEventListener("click", () => player.toggle(sound));
    top.append(shown.play);
  }
  shown.canvas = element("canvas", { class: "wave", "aria-hidden": "true" });
  top.append(element("h2", { id: "heard-title" }, known.name), shown.canvas, element("span", { class: "length" }, clock(known.seconds)));
  if (actions.generate) {
    const make = element("button", { type: "button" }, icon("picture"), "Make a picture");
    make.addEventListener("click", () => actions.generate(known));
    top.append(make);
  }
  return top;
}

function bars(known) {
  const best = Math.max(...known.labels.map((each) => each.probability), 0.01);
  const rows = known.labels.slice(0, SHOWN).map(({ label, probability }) => {
    const fill = element("span");
    fill.style.width = `${(probability / best) * 100}%`;
    const button = element("button", { type: "button", class: "label", title: `Search for "${label}"` },
      element("span", { class: "word" }, label),
      element("span", { class: "bar", "aria-hidden": "true" }, fill),
      element("span", { class: "number" }, `${(probability * 100).toFixed(1)} %`));
    button.addEventListener("click", () => actions.search(label));
    return element("li", {}, button);
  });
  return element("ol", { class: "labels", "aria-label": "Heard as, likeliest first; each searches for its words" }, ...rows);
}

function otherWords(known) {
  const held = fileOf(known.id);
  if (!held) return element("p", { class: "fine" }, "Drop the sound again to hear it or to try other words.");
  const field = element("input", { id: "other-words", value: known.asked ?? "", maxLength: 4000, spellcheck: false, placeholder: "dog, rain, church bells" });
  const form = element("form", { class: "other" },
    element("label", { htmlFor: "other-words" }, "Other words"), field, element("button", { type: "submit" }, "Listen again"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    actions.relabel(held.file, field.value);
  });
  return form;
}

function mark() {
  if (!shown?.play) return;
  const own = player.sound?.id === shown.known.id;
  const on = own && player.playing;
  if (!own && shown.wave) shown.wave.time = null;
  relabel(shown.play, on ? "pause" : "play", `${on ? "Pause" : "Play"} ${shown.known.name}`);
}
