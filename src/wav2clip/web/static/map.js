// The map of the library: every sound a point, what a search found lit, a click or Enter plays.

import { ApiError, follow, request } from "./api.js";
import { Camera, connectPointers } from "./camera.js";
import { amount, announce, byId, element } from "./dom.js";
import { paint, rankGroups } from "./map_paint.js";
import { clear, notice } from "./notices.js";
import { player } from "./player.js";

const NEAR = 14; // pixels from a point at which it is meant
const LIT = 0.5; // of the best score; finds below would light up all of a small library

const canvas = byId("map");
const camera = new Camera();
let map = null; // { points: [{x, y, id, name, group, start, hit}], colours }
let loading = null;
let hits = [];
let hovered = null;
let focused = null;
let frame = 0;

/** Connect the canvas. Sounds that are played here are also those of the list, where they are in it. */
export function connectMap() {
  connectPointers(canvas, camera, {
    moved: redraw,
    hover: (left, top) => point(nearest(left, top)),
    click: (left, top) => {
      const found = nearest(left, top);
      if (!found) return;
      focus(found);
      hear(found);
    },
  });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("focus", () => {
    if (map && !focused) focus(lit()[0] ?? nearestTo(camera.x, camera.y));
  });
  byId("zoom-in").addEventListener("click", () => zoom(1.6));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 1.6));
  byId("zoom-all").addEventListener("click", showAll);
  new ResizeObserver(redraw).observe(canvas);
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  player.addEventListener("change", redraw);
}

/** Fetch the map when it is first looked at; the server may have to compute it first. */
export function openMap() {
  if (!map && !loading) {
    loading = load().finally(() => {
      loading = null;
    });
  }
  redraw();
}

/** Forget the map: the library has changed. */
export function forgetMap() {
  map = null;
  focused = hovered = null;
}

async function load() {
  clear("map");
  try {
    let answer = await request("api/map");
    if (answer.job) {
      const ended = await follow(answer.job, wait);
      if (ended.state !== "done") throw new ApiError(0, { what: ended.message || "The map was not finished", do: "Try again." });
      answer = await request("api/map");
    }
    take(answer);
  } catch (error) {
    notice("map", error, { retry: openMap });
  }
  byId("map-wait").hidden = true;
}

function wait(job) {
  byId("map-wait").hidden = false;
  const share = job.total ? ` ${Math.round((100 * job.done) / job.total)} %` : "";
  byId("map-wait").textContent = `The map is being made${share}, once for each state of the library${job.message ? `: ${job.message}` : ""}.`;
}

function take(answer) {
  const groups = rankGroups(answer.groups);
  const points = answer.points.map(([x, y, file, start]) => ({
    x, y, start, id: answer.ids[file], name: answer.names[file], group: groups.rank(answer.groups[file]), hit: null,
  }));
  map = { points, groups };
  byId("map-frame").hidden = byId("map-about").hidden = false;
  byId("legend").replaceChildren(...groups.names.map((name, rank) => {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.dataset.rank = rank;
    return element("li", {}, swatch, name);
  }));
  canvas.setAttribute("aria-label", `Map of ${amount(points.length, "sound")}: those that are alike lie close together`);
  if (answer.total > points.length) {
    byId("legend").append(element("li", {}, `${points.length.toLocaleString("en")} of ${answer.total.toLocaleString("en")} moments, drawn at random`));
  }
  light(hits);
}

/** Light up what a search found. */
export function light(found) {
  hits = found;
  if (!map) return;
  const best = new Map();
  const least = LIT * Math.max(found[0]?.score ?? 0, 0);
  found.forEach((hit, rank) => {
    if (hit.score >= least && !best.has(hit.id)) best.set(hit.id, { ...hit, rank });
  });
  for (const each of map.points) each.hit = null;
  // A file may have several points: the one that lies in its best moment is lit.
  const chosen = new Map();
  for (const each of map.points) {
    const hit = best.get(each.id);
    if (!hit) continue;
    const away = Math.abs(each.start - hit.start);
    if (!chosen.has(each.id) || away < chosen.get(each.id).away) chosen.set(each.id, { each, away, hit });
  }
  for (const { each, hit } of chosen.values()) each.hit = hit;
  redraw();
}

const lit = () => map.points.filter((each) => each.hit).sort((a, b) => a.hit.rank - b.hit.rank);

function redraw() {
  if (frame || !map || !canvas.clientWidth) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (map && canvas.clientWidth) paint(canvas, camera, map, { hovered, focused, playing: player.sound });
  });
}

function nearest(left, top) {
  let [best, distance] = [null, NEAR];
  for (const each of map?.points ?? []) {
    const [x, y] = camera.toScreen(each.x, each.y);
    const away = Math.hypot(x - left, y - top) - (each.hit ? 3 : 0);
    if (away < distance) [best, distance] = [each, away];
  }
  return best;
}

function nearestTo(x, y) {
  const away = (each) => Math.hypot(each.x - x, each.y - y);
  return map.points.reduce((best, each) => (best && away(best) <= away(each) ? best : each), null);
}

/** The nearest point within 45 degrees of a direction, far ones only if there is no nearer. */
function towards(right, up) {
  let [best, least] = [null, Infinity];
  for (const each of map.points) {
    const [dx, dy] = [each.x - focused.x, each.y - focused.y];
    const along = dx * right + dy * up;
    const aside = Math.abs(dx * up - dy * right);
    if (along <= 1e-9 || aside > along) continue;
    const cost = along + 2 * aside;
    if (cost < least) [best, least] = [each, cost];
  }
  return best;
}

function describe(each) {
  return each.hit ? `${each.name}, found as number ${each.hit.rank + 1}, score ${each.hit.score.toFixed(3)}` : each.name;
}

function point(each) {
  if (hovered === each) return;
  hovered = each;
  canvas.classList.toggle("over", Boolean(each));
  label(each ?? focused);
  redraw();
}

function label(each) {
  byId("map-name").hidden = !each;
  byId("map-name").textContent = each ? describe(each) : "";
}

function focus(each) {
  if (!each) return;
  focused = each;
  camera.reveal(each.x, each.y);
  label(each);
  byId("map-point").textContent = describe(each);
  announce(describe(each));
  redraw();
}

async function hear(each) {
  if (each.hit) return player.play(each.hit);
  try {
    const file = await request(`api/files/${each.id}`);
    clear("play");
    return player.play({ ...file, start: each.start, end: file.duration });
  } catch (error) {
    return notice("play", error);
  }
}

function zoom(factor) {
  const [left, top] = focused ? camera.toScreen(focused.x, focused.y) : [];
  const inside = left >= 0 && top >= 0 && left <= camera.width && top <= camera.height;
  camera.zoomBy(factor, ...(inside ? [left, top] : []));
  redraw();
}

function showAll() {
  camera.all();
  redraw();
}

function step(by) {
  const found = lit();
  if (!found.length) return announce("Nothing is lit: search first.");
  const at = found.indexOf(focused);
  return focus(found[at < 0 ? 0 : Math.min(Math.max(at + by, 0), found.length - 1)]);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const KEYS = {
  "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6), 0: showAll,
  PageDown: () => step(1), PageUp: () => step(-1), Home: () => step(-Infinity), End: () => step(Infinity),
  Enter: () => focused && hear(focused),
  " ": () => focused && (player.sound?.id === focused.id ? player.toggle() : hear(focused)),
};

function onKey(event) {
  if (!map || event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) {
    camera.panBy(-arrow[0] * 80, arrow[1] * 80);
    redraw();
  } else if (arrow && focused) {
    focus(towards(...arrow) ?? focused);
  } else if (event.key in KEYS) {
    KEYS[event.key]();
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}
