// How sounds are auditioned: at about the same loudness, slower or faster, with the pitch kept or not.

import { announce, byId, settings } from "./dom.js";
import { player } from "./player.js";
import { outlineOf } from "./waveform.js";

const TARGET = -23; // dBFS: EBU R 128's level for programmes, which leaves room for peaks
const MOST = 24; // dB that a quiet sound is raised by; more would raise its noise
const SPEEDS = [0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2];

const speed = byId("player-speed");
const pitch = byId("player-pitch");
const match = byId("player-match");
let matched = null; // the sound that the gain is for

export function connectAudition() {
  speed.append(...SPEEDS.map((each) => new Option(`${each}×`, String(each))));
  const before = settings.get("speed", 1);
  setSpeed(SPEEDS.includes(before) ? before : 1);
  setPitch(settings.get("pitch", true) === true);
  press(match, settings.get("match", false) === true);
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  pitch.addEventListener("click", () => setPitch(!player.keepsPitch, { say: true }));
  match.addEventListener("click", () => setMatch(!matches()));
  player.addEventListener("change", () => {
    if (player.sound !== matched) level();
  });
  document.addEventListener("keydown", onKey);
}

const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const matches = () => match.getAttribute("aria-pressed") === "true";

function setSpeed(factor, { say = false } = {}) {
  player.speed = factor;
  speed.value = String(factor);
  settings.set("speed", factor);
  if (say) announce(`Speed ${factor}`);
}

function setPitch(on, { say = false } = {}) {
  player.keepsPitch = on;
  press(pitch, on);
  settings.set("pitch", on);
  if (say) announce(on ? "Pitch is kept" : "Pitch follows the speed");
}

function setMatch(on) {
  press(match, on);
  settings.set("match", on);
  announce(on ? "Levels are matched" : "Levels are as recorded");
  level();
}

/** Set the gain of the sound that plays. It plays as recorded until its level is known. */
async function level() {
  const { sound } = player;
  matched = sound;
  player.gain = 1;
  if (!sound || !matches()) return;
  const outline = await outlineOf(sound).catch(() => null); // the waveform says what is wrong
  if (outline && sound === player.sound && matches()) player.gain = gainOf(outline);
}

/** The factor that brings a sound to the common level, but no sample beyond full scale. */
export function gainOf({ level: loudness, peak }) {
  if (loudness === null) return 1;
  return Math.min(10 ** (Math.min(TARGET - loudness, MOST) / 20), 1 / peak);
}

const KEYS = {
  "<": () => setSpeed(SPEEDS[Math.max(SPEEDS.indexOf(player.speed) - 1, 0)], { say: true }),
  ">": () => setSpeed(SPEEDS[Math.min(SPEEDS.indexOf(player.speed) + 1, SPEEDS.length - 1)], { say: true }),
  p: () => setPitch(!player.keepsPitch, { say: true }),
  m: () => setMatch(!matches()),
};

function onKey(event) {
  const act = KEYS[event.key.toLowerCase()];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || !settings.get("letters", true)) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  act();
  event.preventDefault();
}
