// Waveforms or spectrograms on canvases: fetched when they come into sight, a few at a time, and drawn
// in the theme's colours.

import { patiently } from "./api.js";
import { colour, onThemeChange, prepare, settings } from "./dom.js";
import { levelsIn, tinted } from "./spectrogram.js";

const AT_ONCE = 4;
const KEPT = 600; // waveforms and spectrograms that are remembered
const FINE = [["width", "800"], ["height", "96"]];
const known = new Map();
const waiting = [];
let active = 0;

let spectrograms = settings.get("spectrograms", false);

/** Whether spectrograms are shown in place of waveforms, wherever there are any. */
export const showsSpectrograms = () => spectrograms;

export function showSpectrograms(on) {
  spectrograms = on;
  settings.set("spectrograms", on);
  for (const canvas of document.querySelectorAll("canvas")) canvas.waveform?.changed();
}

/** The peaks of a sound, in [0, 1], and its level: what it carries, or what the server gives. */
export function outlineOf(sound) {
  if (Array.isArray(sound.peaks)) return Promise.resolve({ peaks: sound.peaks, level: null });
  return once(sound.waveform, () => patiently(sound.waveform));
}

/** The levels of its spectrogram, as the server gives them. */
const levelsOf = (sound) => once(sound.spectrogram, () =>
  patiently(sound.spectrogram, { query: FINE, blob: true }).then(levelsIn));

/** What is at an address: asked for once, and remembered while others are not too many. */
function once(address, ask) {
  if (!known.has(address)) {
    const asked = new Promise((resolve, reject) => waiting.push({ ask, resolve, reject }));
    known.set(address, asked);
    asked.catch(() => known.delete(address));
    if (known.size > KEPT) known.delete(known.keys().next().value);
    next();
  }
  return known.get(address);
}

function next() {
  while (active < AT_ONCE && waiting.length) {
    const { ask, resolve, reject } = waiting.shift();
    active += 1;
    ask()
      .then(resolve, reject)
      .finally(() => {
        active -= 1;
        next();
      });
  }
}

/** One waveform or spectrogram: draws itself when it is seen, when its size or the theme changes, and at each `time`. */
export class Waveform {
  #canvas;
  #sound = null;
  #peaks = null;
  #levels = null;
  #time = null;

  constructor(canvas) {
    this.#canvas = canvas;
    canvas.waveform = this;
    seen.observe(canvas);
    resized.observe(canvas);
  }

  /** Show a sound: `duration`, best moment `start` to `end` in seconds, `waveform` or `peaks`. */
  set sound(sound) {
    this.#sound = sound;
    this.#peaks = null;
    this.#levels = null;
    this.#time = null;
    this.changed();
  }

  /** Draw, and fetch what is missing as soon as it is seen. */
  changed() {
    this.draw();
    seen.unobserve(this.#canvas);
    seen.observe(this.#canvas);
  }

  /** Where the player is, in seconds, or null. */
  set time(seconds) {
    this.#time = seconds;
    this.draw();
  }

  get #heat() {
    return spectrograms && Boolean(this.#sound.spectrogram);
  }

  async load() {
    const sound = this.#sound;
    if (!sound || (this.#heat ? this.#levels : this.#peaks)) return;
    try {
      if (this.#heat) {
        const levels = await levelsOf(sound);
        if (sound !== this.#sound) return;
        this.#levels = levels;
      } else {
        const { peaks } = await outlineOf(sound);
        if (sound !== this.#sound) return;
        this.#peaks = peaks;
      }
      this.#canvas.classList.remove("missing");
    } catch (error) {
      if (sound !== this.#sound) return;
      this.#canvas.classList.add("missing");
      this.#canvas.title = `No picture: ${error.message}`;
    }
    this.draw();
  }

  draw() {
    if (!this.#sound || !this.#canvas.isConnected || !this.#canvas.clientWidth) return;
    const { context, width, height } = prepare(this.#canvas);
    const duration = this.#sound.duration || 1;
    const [from, to] = [(this.#sound.start / duration) * width, (this.#sound.end / duration) * width];
    const whole = to - from >= width - 1;
    if (!whole && !this.#heat) {
      context.fillStyle = colour("--moment");
      context.fillRect(from, 0, Math.max(to - from, 2), height);
    }
    if (this.#heat) this.#picture(context, width, height, whole ? null : [from, to]);
    else this.#bars(context, width, height, from, to);
    if (!whole) {
      context.fillStyle = colour("--accent");
      context.fillRect(from, height - 2, Math.max(to - from, 2), 2);
    }
    if (this.#time !== null) {
      const x = Math.min((this.#time / duration) * width, width - 1.5);
      if (this.#heat) { // seen on whatever colour is below it
        context.fillStyle = colour("--ground");
        context.fillRect(x - 1, 0, 3.5, height);
      }
      context.fillStyle = colour("--text");
      context.fillRect(x, 0, 1.5, height);
    }
  }

  #picture(context, width, height, region) {
    context.fillStyle = colour("--heat-0");
    context.fillRect(0, 0, width, height);
    if (!this.#levels) return;
    context.drawImage(tinted(this.#levels), 0, 0, width, height);
    if (!region) return;
    context.fillStyle = colour("--ground");
    context.globalAlpha = 0.55;
    context.fillRect(0, 0, region[0], height);
    context.fillRect(region[1], 0, width - region[1], height);
    context.globalAlpha = 1;
  }

  #bars(context, width, height, from, to) {
    const peaks = this.#peaks;
    const plain = colour("--wave");
    if (!peaks) {
      context.fillStyle = plain;
      context.fillRect(0, height / 2 - 0.5, width, 1);
      return;
    }
    const played = this.#time === null ? -1 : (this.#time / (this.#sound.duration || 1)) * width;
    const colours = [plain, colour("--wave-moment"), colour("--accent")];
    const step = 3;
    for (let x = 0; x < width; x += step) {
      const first = Math.floor((x / width) * peaks.length);
      const last = Math.max(first + 1, Math.ceil(((x + step) / width) * peaks.length));
      const peak = Math.max(...peaks.slice(first, last), 0);
      // The square root shows quiet sounds, as a scale in decibels would.
      const tall = Math.max(1, Math.sqrt(peak) * (height - 4));
      context.fillStyle = colours[x < played ? 2 : x >= from - step && x <= to ? 1 : 0];
      context.fillRect(x, (height - tall) / 2, step - 1, tall);
    }
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) entry.target.waveform.load();
});
const resized = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.waveform.draw();
});
onThemeChange(() => {
  for (const canvas of document.querySelectorAll("canvas")) canvas.waveform?.draw();
});
