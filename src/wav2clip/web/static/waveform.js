// Waveforms on canvases: fetched when they come into sight, a few at a time, and drawn in the theme's colours.

import { patiently } from "./api.js";
import { colour, onThemeChange, prepare } from "./dom.js";

const AT_ONCE = 4;
const known = new Map();
const waiting = [];
let active = 0;

/** The peaks of a sound, in [0, 1]: those it carries, or those the server gives. Asked for once. */
export function peaksOf(sound) {
  if (Array.isArray(sound.peaks)) return Promise.resolve(sound.peaks);
  if (!known.has(sound.waveform)) {
    const asked = new Promise((resolve, reject) => waiting.push({ sound, resolve, reject }));
    known.set(sound.waveform, asked);
    asked.catch(() => known.delete(sound.waveform));
    next();
  }
  return known.get(sound.waveform);
}

function next() {
  while (active < AT_ONCE && waiting.length) {
    const { sound, resolve, reject } = waiting.shift();
    active += 1;
    patiently(sound.waveform)
      .then((answer) => resolve(answer.peaks), reject)
      .finally(() => {
        active -= 1;
        next();
      });
  }
}

/** One waveform: draws itself when it is seen, when its size or the theme changes, and at each `time`. */
export class Waveform {
  #canvas;
  #sound = null;
  #peaks = null;
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
    this.#time = null;
    this.draw();
    seen.unobserve(this.#canvas);
    seen.observe(this.#canvas);
  }

  /** Where the player is, in seconds, or null. */
  set time(seconds) {
    this.#time = seconds;
    this.draw();
  }

  async load() {
    const sound = this.#sound;
    if (!sound || this.#peaks) return;
    try {
      const peaks = await peaksOf(sound);
      if (sound !== this.#sound) return;
      this.#peaks = peaks;
      this.#canvas.classList.remove("missing");
    } catch (error) {
      if (sound !== this.#sound) return;
      this.#canvas.classList.add("missing");
      this.#canvas.title = `No waveform: ${error.message}`;
    }
    this.draw();
  }

  draw() {
    if (!this.#sound || !this.#canvas.isConnected || !this.#canvas.clientWidth) return;
    const { context, width, height } = prepare(this.#canvas);
    const duration = this.#sound.duration || 1;
    const [from, to] = [(this.#sound.start / duration) * width, (this.#sound.end / duration) * width];
    const whole = to - from >= width - 1;
    if (!whole) {
      context.fillStyle = colour("--moment");
      context.fillRect(from, 0, Math.max(to - from, 2), height);
      context.fillStyle = colour("--accent");
      context.fillRect(from, height - 2, Math.max(to - from, 2), 2);
    }
    this.#bars(context, width, height, from, to);
    if (this.#time !== null) {
      context.fillStyle = colour("--text");
      context.fillRect(Math.min((this.#time / duration) * width, width - 1.5), 0, 1.5, height);
    }
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
