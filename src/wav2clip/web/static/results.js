// The list of finds or files: one row each, moved through with the arrow keys, heard with Space.

import { facts } from "./browse.js";
import { openCollect } from "./collect.js";
import { announce, byId, clock, element, icon, iconButton, relabel, settings } from "./dom.js";
import { isWhole, onFavourites, showStar, starButton, toggleFavourite } from "./favourites.js";
import { player } from "./player.js";
import { Waveform } from "./waveform.js";

const REST = 120; // ms on a row before it plays, so that a key held down does not start them all

const lists = { finds: byId("results"), files: byId("file-rows") };
let list = lists.finds;
let rows = [];
let current = -1;
let timer = 0;
let actions = {};

/**
 * `like(sound)`, `mark(sound, good)`, `marked(sound)` (true, false or null), and `generate(sound)`,
 * or undefined where generation is not installed.
 */
export function connectResults(given) {
  actions = given;
  for (const each of [lists.finds, byId("files")]) each.addEventListener("keydown", onKey);
  player.addEventListener("change", mark);
  onFavourites(() => {
    for (const { sound, star } of rows) if (star) showStar(star, sound);
  });
  player.addEventListener("time", () => {
    for (const row of rows) if (row.playing) row.wave.time = player.time;
  });
}

export const sounds = () => rows.map((row) => row.sound);

/**
 * Show finds, or files (`listed`) as a table; those that were shown already keep their rows, so that
 * more can be added.
 */
export function showResults(hits, { listed = false } = {}) {
  const wanted = listed ? lists.files : lists.finds;
  if (list !== wanted) list.replaceChildren();
  list = wanted;
  lists.finds.hidden = listed;
  byId("files").hidden = !listed;
  const focused = list.contains(document.activeElement) ? rows[current]?.sound : null;
  const known = new Map(rows.map((row) => [keyOf(row.sound), row]));
  rows = hits.map((hit) => {
    const old = known.get(keyOf(hit));
    return old && SHOWN.every((name) => old.sound[name] === hit[name]) ? old : makeRow(hit);
  });
  list.replaceChildren(...rows.map((row) => row.item));
  current = rows.length ? 0 : -1;
  const again = focused ? rows.findIndex((row) => keyOf(row.sound) === keyOf(focused)) : -1;
  if (again >= 0) current = again;
  rows.forEach((row, index) => roam(row, index === current));
  if (again >= 0) rows[again].play.focus();
  mark();
}

const SHOWN = ["score", "listed", "path", "missing", "note"]; // what a row shows, and another answer may have otherwise
const keyOf = (sound) => sound.item ?? `${sound.id} ${sound.start}`;
const percent = (share) => `${Math.round(share * 100)} %`;

function makeRow(sound) {
  const wave = element("canvas", { class: "wave", "aria-hidden": "true" });
  const play = element("button", { type: "button", class: "play" });
  const described = `about-${keyOf(sound).replace(" ", "-")}`;
  play.setAttribute("aria-describedby", described);
  const row = { sound, play, playing: false, wave: null, star: sound.missing ? null : starButton(sound) };
  const cellsOf = sound.listed ? fileCells : sound.item ? keptCells : findCells;
  const parts = sound.listed
    ? { class: "sound listed", role: "row" }
    : { class: sound.missing ? "sound gone" : "sound" };
  row.item = element(sound.listed ? "div" : "li", parts,
    cell(sound, "play", play), cell(sound, "wave", wave), ...cellsOf(sound, described), cell(sound, "actions", actionsOf(row)));
  row.wave = new Waveform(wave);
  if (sound.missing) play.setAttribute("aria-disabled", "true");
  else row.wave.sound = sound;
  listen(row, wave);
  return row;
}

/** A part of a row; in a table it is a cell. */
const cell = (sound, area, ...content) => element("div", { class: `at-${area}`, role: sound.listed ? "cell" : undefined }, ...content);

const nameOf = (sound) => element("span", { class: "name", title: sound.path }, sound.name);
const pathOf = (sound) => element("span", { class: "path", title: sound.path }, element("bdi", {}, folderOf(sound)));
const lengthOf = (sound) => element("span", { class: "length" }, element("span", { class: "hidden" }, "Length "), clock(sound.duration));

function fileCells(sound, described) {
  const told = facts(sound);
  const about = [clock(sound.duration), ...told.map(([, words]) => words), ...sound.tags].join(", ");
  return [
    element("div", { class: "what" },
      cell(sound, "name", nameOf(sound), element("span", { id: described, class: "hidden" }, about)),
      cell(sound, "path", pathOf(sound))),
    cell(sound, "tags", tagList(sound.words, sound.tags)),
    element("div", { class: "facts" }, ...told.map(([area, words]) => cell(sound, area, words))),
    cell(sound, "length", clock(sound.duration)),
  ];
}

const regionOf = (sound) => (isWhole(sound) ? "All of it" : `${clock(sound.start)} to ${clock(sound.end)}`);

/** What is kept in a collection tells which part it is, and what was noted. */
function keptCells(sound, described) {
  const region = sound.missing ? "Missing" : regionOf(sound);
  const about = [sound.missing ? "Missing: the file is gone, or not in the library" : region, sound.note, ...sound.tags];
  return [
    element("div", { class: "what" }, nameOf(sound), pathOf(sound)),
    cell(sound, "tags", tagList([], sound.tags), sound.note ? element("p", { class: "note", title: sound.note }, element("bdi", {}, sound.note)) : null),
    cell(sound, "score", element("span", { class: "region" }, region)),
    cell(sound, "length", lengthOf(sound), element("span", { id: described, class: "hidden" }, about.filter(Boolean).join(", "))),
  ];
}

function findCells(sound, described) {
  const region = isWhole(sound) ? regionOf(sound) : `${regionOf(sound)} of ${clock(sound.duration)}`;
  const named = sound.words.length ? `, and in its name: ${sound.words.join(", ")}` : "";
  const score = element("div", { class: "score", title: `How surely it is heard; cosine ${sound.similarity.toFixed(3)}, score ${sound.score.toFixed(3)}${named}` },
    element("span", { class: "bar", "aria-hidden": "true" }, element("span")),
    element("span", { class: "number" }, element("span", { class: "hidden" }, "Sure "), percent(sound.confidence)));
  score.querySelector(".bar span").style.width = `${sound.confidence * 100}%`;
  return [
    element("div", { class: "what" }, nameOf(sound), pathOf(sound)),
    cell(sound, "tags", tagList(sound.words, sound.tags)),
    cell(sound, "score", score),
    cell(sound, "length", lengthOf(sound),
      element("span", { id: described, class: "hidden" },
        `${region}, sure ${percent(sound.confidence)}`
        + (sound.words.length ? `, in its name: ${sound.words.join(", ")}` : "")
        + (sound.tags.length ? `, ${sound.tags.join(", ")}` : ""))),
  ];
}

/** The path without the name, which stands above it already. */
const folderOf = ({ path, name }) => (path.endsWith(`/${name}`) ? path.slice(0, -name.length) : path);

/** Words of the query that the path holds, which tell why it is here, and the tags. */
function tagList(words, tags) {
  if (!words.length && !tags.length) return null;
  return element("ul", { class: "tags", "aria-label": words.length ? "Words in the name, and tags" : "Tags" },
    ...words.map((word) => element("li", { class: "named", title: "In the name of the file or a folder" }, word)),
    ...tags.map((tag) => element("li", {}, tag)));
}

function actionsOf({ sound, star }) {
  const copy = iconButton("copy", `Copy the path of ${sound.name}`, () => copyPath(sound), { title: "Copy path", "data-act": "copy" });
  const out = sound.item
    ? iconButton("minus", `Take ${sound.name} out of the collection`, sound.takeOut, { title: "Take it out of the collection (Delete)", "data-act": "out" })
    : null;
  if (sound.missing) return element("div", { class: "actions" }, copy, out);
  return element("div", { class: "actions" },
    star,
    iconButton("collect", `Add ${sound.name} to a collection`, () => openCollect(sound), { title: "Add to a collection (A)", "data-act": "collect" }),
    ...(sound.item ? [] : [markButton(sound, true), markButton(sound, false)]),
    iconButton("like", `More like ${sound.name}`, () => actions.like(sound), { title: "More like this", "data-act": "like" }),
    copy,
    isWhole(sound) ? null
      : link("cut", sound.excerpt, `Download this part of ${sound.name}`, "Download this part", "part"),
    link("download", sound.download, `Download ${sound.name}`, "Download the file", "download"),
    actions.generate
      ? iconButton("picture", `Make a picture of ${sound.name}`, () => actions.generate(sound), { title: "Make a picture", "data-act": "generate" })
      : null,
    out);
}

/** Says that a find is right, or wrong; pressed again, it takes that back. */
function markButton(sound, good) {
  const [name, title] = good ? ["good", "Right: find more like it"] : ["bad", "Wrong: leave it out"];
  const pressed = String(actions.marked(sound) === good);
  return iconButton(name, `${title}: ${sound.name}`, () => actions.mark(sound, good),
    { title, "data-act": name, "aria-pressed": pressed });
}

const link = (name, href, words, title, act) => element("a", { class: "quiet", href, download: "", title, "data-act": act },
  icon(name), element("span", { class: "hidden" }, words));

function listen(row, wave) {
  row.play.addEventListener("click", () => {
    focusRow(rows.indexOf(row));
    player.toggle(row.sound);
  });
  wave.addEventListener("click", (event) => {
    focusRow(rows.indexOf(row));
    player.play(row.sound, (event.offsetX / wave.clientWidth) * row.sound.duration);
  });
  row.item.addEventListener("focusin", () => focusRow(rows.indexOf(row), { move: false }));
  // Chromium hands the file itself to whatever it is dropped on: a folder, an editor, a sampler.
  row.item.draggable = !row.sound.missing;
  row.item.addEventListener("dragstart", (event) => {
    const whole = isWhole(row.sound);
    const address = new URL(whole ? row.sound.download : row.sound.excerpt, document.baseURI).href;
    const [type, name] = whole ? ["application/octet-stream", row.sound.name] : ["audio/wav", row.sound.excerpt_name];
    event.dataTransfer.setData("DownloadURL", `${type}:${name}:${address}`);
    event.dataTransfer.setData("text/plain", row.sound.path);
    event.dataTransfer.effectAllowed = "copy";
  });
}

/** Of all rows, Tab stops at the current one alone; the arrow keys choose which that is. */
function roam(row, on) {
  row.item.toggleAttribute("data-current", on);
  for (const control of row.item.querySelectorAll("button, a")) control.tabIndex = on ? 0 : -1;
}

function focusRow(index, { move = true } = {}) {
  if (index < 0) return;
  if (index !== current) {
    if (rows[current]) roam(rows[current], false);
    current = index;
    roam(rows[current], true);
  }
  if (move) rows[current].play.focus();
}

/** Go to a row and, where the listener wants so, hear it. */
export function select(index, { listen: wanted = settings.get("follow", true) } = {}) {
  if (!rows.length) return;
  const next = Math.min(Math.max(index, 0), rows.length - 1);
  focusRow(next);
  rows[next].item.scrollIntoView({ block: "nearest" });
  clearTimeout(timer);
  const { sound } = rows[next];
  if (wanted && !player.is(sound)) timer = setTimeout(() => player.play(sound), REST);
}

const LETTERS = {
  l: (sound) => actions.like(sound),
  c: copyPath,
  d: (_, row) => row.item.querySelector("a[download]").click(),
  a: openCollect,
  f: toggleFavourite,
  g: (sound) => actions.mark(sound, true),
  b: (sound) => actions.mark(sound, false),
};

function onKey(event) {
  const row = rows[current];
  if (event.key === "ArrowDown" && event.target.closest("#headings")) {
    event.preventDefault();
    select(0);
    return;
  }
  if (!event.target.closest(".sound")) return;
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: rows.length - 1 };
  const onPlay = event.target === row.play;
  const key = event.key.toLowerCase();
  const letter = settings.get("letters", true) && (!row.sound.missing || key === "c") ? LETTERS[key] : undefined;
  if (event.key in moves) select(moves[event.key]);
  else if (event.key === "ArrowLeft") player.seek(player.time - 1);
  else if (event.key === "ArrowRight") player.seek(player.time + 1);
  else if (event.key === " " && onPlay) hear(row.sound);
  else if (event.key === "Enter" && onPlay) player.play(row.sound);
  else if (event.key === "Delete" && row.sound.item) row.sound.takeOut();
  else if (letter) letter(row.sound, row);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function hear(sound) {
  clearTimeout(timer);
  player.toggle(sound);
}

/** Show in the list what plays. */
function mark() {
  for (const row of rows) {
    row.playing = player.is(row.sound);
    row.item.classList.toggle("loaded", row.playing);
    if (row.playing) row.item.setAttribute("aria-current", "true");
    else row.item.removeAttribute("aria-current");
    row.wave.time = row.playing ? player.time : null;
    const on = row.playing && player.playing;
    const words = row.sound.missing ? "Missing:" : on ? "Pause" : "Play";
    relabel(row.play, on ? "pause" : "play", `${words} ${row.sound.name}`);
  }
}

async function copyPath(sound) {
  try {
    await navigator.clipboard.writeText(sound.path);
  } catch {
    // Browsers give the clipboard to https and to localhost alone; this older way works elsewhere.
    const field = element("textarea", { value: sound.path, class: "hidden" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    rows[current]?.play.focus();
  }
  announce(`Copied ${sound.path}`);
  const button = rows.find((row) => row.sound === sound)?.item.querySelector("[data-act=copy]");
  if (!button) return;
  relabel(button, "check", "Copied");
  setTimeout(() => relabel(button, "copy", `Copy the path of ${sound.name}`), 1500);
}
