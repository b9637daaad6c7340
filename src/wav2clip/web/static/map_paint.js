// How the map looks: colours of groups, points, what is lit, and names where there is room.

import { byId, colour, prepare } from "./dom.js";

const SHOWN = 9; // colours that can still be told apart; the other groups are grey
const NAMED = 12; // finds that get their name, the best first

/** The largest groups in order, and the rank of each; those beyond `SHOWN` share the last rank. */
export function rankGroups(groups) {
  const counts = new Map();
  for (const group of groups) if (group) counts.set(group, (counts.get(group) ?? 0) + 1);
  const ordered = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  const names = ordered.slice(0, SHOWN);
  const ranks = new Map(names.map((name, rank) => [name, rank]));
  if (ordered.length > SHOWN) names.push("others");
  return { names, rank: (group) => ranks.get(group) ?? SHOWN };
}

export function paint(canvas, camera, map, { hovered, focused, playing }) {
  const { context, width, height } = prepare(canvas);
  camera.resize(width, height);
  const colours = Array.from({ length: SHOWN + 1 }, (_, rank) => colour(`--group-${rank}`));
  paintLegend(colours);
  const searched = map.points.some((each) => each.hit);
  const frame = Math.min(2.2, Math.max(0.8, Math.min(width, height) / 700));
  const small = frame * Math.min(4.5, (map.points.length > 4000 ? 1.4 : 2.4) * camera.zoom ** 0.35);
  const dot = (each, radius, fill) => {
    const [x, y] = camera.toScreen(each.x, each.y);
    if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
    context.fillStyle = fill;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  };
  context.globalAlpha = searched ? 0.3 : 0.85;
  for (const each of map.points) if (!each.hit) dot(each, small, colours[each.group]);
  const lit = map.points.filter((each) => each.hit).sort((a, b) => b.hit.rank - a.hit.rank);
  const best = lit.length ? Math.max(lit.at(-1).hit.score, 1e-6) : 1;
  for (const each of lit) {
    const strength = Math.max(0.15, each.hit.score / best);
    context.globalAlpha = 0.18 * strength;
    dot(each, small + 9 * frame * strength, colour("--accent"));
    context.globalAlpha = 0.35 + 0.65 * strength;
    dot(each, small + 2.5 * frame * strength, colour("--accent"));
  }
  context.globalAlpha = 1;
  const ring = (each, look) => each && circle(context, camera.toScreen(each.x, each.y), small + 5, look);
  ring(map.points.find((each) => playing && each.id === playing.id && (!each.hit || each.hit.start === playing.start)), colour("--text"));
  ring(hovered, colour("--muted"));
  if (document.activeElement === canvas) ring(focused, colour("--focus"));
  names(context, camera, lit.reverse().slice(0, NAMED), [width, height]);
}

function circle(context, [x, y], radius, stroke) {
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}

/** Names beside the best finds, left out where they would cover another. */
function names(context, camera, points, [width, height]) {
  const size = Number.parseFloat(getComputedStyle(document.body).fontSize) * 0.86;
  context.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  const taken = [];
  for (const each of points) {
    const [x, y] = camera.toScreen(each.x, each.y);
    const text = each.name.length > 32 ? `${each.name.slice(0, 31)}…` : each.name;
    const wide = context.measureText(text).width;
    const left = x + 12 + wide > width ? x - 12 - wide : x + 12;
    const box = [left - 3, y - size * 0.7, left + wide + 3, y + size * 0.7];
    const covers = taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
    if (covers || y < 0 || y > height || x < 0 || x > width) continue;
    taken.push(box);
    context.globalAlpha = 0.75;
    context.fillStyle = colour("--ground");
    context.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    context.globalAlpha = 1;
    context.fillStyle = colour("--text");
    context.fillText(text, left, y);
  }
}

function paintLegend(colours) {
  for (const swatch of byId("legend").querySelectorAll(".swatch")) {
    swatch.style.backgroundColor = colours[swatch.dataset.rank];
  }
}
