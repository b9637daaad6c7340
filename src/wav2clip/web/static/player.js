// One player for the page: the sound itself, and the bar at the bottom with position, loop and volume.

import { request } from "./api.js";
import { openCollect } from "./collect.js";
import { announce, byId, clock, relabel, settings } from "./dom.js";
import { onFavourites, showStar, toggleFavourite } from "./favourites.js";
import { Waveform } from "./waveform.js";

/**
 * Plays one sound at a time. A sound has `id`, `name`, `audio` (address), `duration`, `start`,
 * `end` (seconds of the region that was found) and may have `peak` (its best moment). Events: `change` (another sound, or playing or not),
 * `time`, `failed` (detail: an error).
 */
class Player extends EventTarget {
  sound = null;
  loop = false;
  #audio = new Audio();
  #amplifier = null; // a GainNode, once it is needed
  #begin = 0;

  constructor() {
    super();
    this.#audio.preload = "auto";
    this.#audio.volume = settings.get("volume", 0.9);
    for (const name of ["play", "pause", "ended"]) this.#audio.addEventListener(name, () => this.#changed());
    this.#audio.addEventListener("seeked", () => this.#emit("time"));
    this.#audio.addEventListener("loadedmetadata", () => {
      if (this.#begin) this.#audio.currentTime = this.#begin;
    });
    this.#audio.addEventListener("error", () => this.#failed());
  }

  get playing() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  get time() {
    return this.#audio.readyState ? this.#audio.currentTime : this.#begin;
  }

  set volume(value) {
    this.#audio.volume = value;
    settings.set("volume", value);
  }

  get volume() {
    return this.#audio.volume;
  }

  /** A factor for what is heard; beyond 1, too, which the volume of an element cannot do. */
  set gain(factor) {
    if (!this.#amplifier && factor === 1) return;
    this.#amplifier ??= amplifierOf(this.#audio);
    this.#amplifier.gain.value = factor;
  }

  get gain() {
    return this.#amplifier?.gain.value ?? 1;
  }

  /** How fast it plays; 1 is as it was recorded. */
  set speed(factor) {
    this.#audio.defaultPlaybackRate = factor; // of the sounds to come
    this.#audio.playbackRate = factor;
  }

  get speed() {
    return this.#audio.playbackRate;
  }

  /** Whether another speed leaves the pitch as it is. */
  set keepsPitch(on) {
    this.#audio.preservesPitch = on;
  }

  get keepsPitch() {
    return this.#audio.preservesPitch;
  }

  is(sound) {
    return this.sound !== null && this.sound.id === sound.id && this.sound.start === sound.start;
  }

  /** Play from `at` seconds, by default from the best moment. */
  play(sound, at = sound.peak ?? sound.start) {
    if (sound.missing) {
      announce(`${sound.name} is missing`);
      return;
    }
    this.sound = sound;
    this.#begin = at;
    const address = new URL(sound.audio, document.baseURI).href;
    if (this.#audio.src !== address || this.#audio.error) this.#audio.src = address;
    else if (this.#audio.readyState) this.#audio.currentTime = at;
    this.#changed();
    this.#start();
  }

  /** Pause what plays, go on where it paused, or begin another sound. */
  toggle(sound = this.sound) {
    if (!sound) return;
    if (!this.is(sound) || this.#audio.error) this.play(sound);
    else if (this.playing) this.#audio.pause();
    else if (this.#audio.ended) this.play(sound);
    else this.#start();
  }

  /** Move by or to seconds within the sound. */
  seek(to) {
    if (!this.sound) return;
    const end = Number.isFinite(this.#audio.duration) ? this.#audio.duration : this.sound.duration;
    this.#begin = Math.min(Math.max(to, 0), Math.max(end - 0.05, 0));
    if (this.#audio.readyState) this.#audio.currentTime = this.#begin;
    this.#emit("time");
  }

  #start() {
    this.#amplifier?.context.resume();
    this.#audio.play().catch((error) => {
      // AbortError: another sound came first. NotSupportedError comes with an `error` event of its own.
      if (error.name === "NotAllowedError") announce("The browser wants a click or a key before it plays.");
    });
  }

  #changed() {
    this.#emit("change");
    this.#emit("time");
    if (this.playing) this.#tick();
  }

  #ticking = false;

  #tick() {
    if (this.#ticking || !this.playing) return;
    this.#ticking = true;
    requestAnimationFrame(() => {
      this.#ticking = false;
      if (this.loop && this.time >= this.sound.end && this.sound.end > this.sound.start) {
        this.#audio.currentTime = this.sound.start;
      }
      this.#emit("time");
      this.#tick();
    });
  }

  /** The element says only that it failed; the server says why. */
  async #failed() {
    const sound = this.sound;
    let reason = new Error(`${sound.name} cannot be played`);
    try {
      if (sound.waveform) await request(sound.waveform);
      reason.action = "The browser does not know this format. Download the file to hear it elsewhere.";
    } catch (error) {
      reason = error;
    }
    if (sound === this.sound) this.dispatchEvent(new CustomEvent("failed", { detail: reason }));
    this.#emit("change");
  }

  #emit(name) {
    this.dispatchEvent(new Event(name));
  }
}

function amplifierOf(audio) {
  const context = new AudioContext();
  const amplifier = context.createGain();
  context.createMediaElementSource(audio).connect(amplifier).connect(context.destination);
  context.resume();
  return amplifier;
}

export const player = new Player();

/** Connect the bar; `step` moves by so many sounds in the list. */
export function connectBar() {
  const bar = byId("player");
  const toggle = byId("player-toggle");
  const position = byId("player-position");
  const wave = new Waveform(position.querySelector("canvas"));
  let shown = null;

  toggle.addEventListener("click", () => player.toggle());
  player.addEventListener("change", () => {
    bar.hidden = !player.sound;
    if (shown !== player.sound) {
      shown = player.sound;
      byId("player-name").textContent = shown.name;
      byId("player-name").title = shown.path ?? shown.name;
      position.setAttribute("aria-valuemax", shown.duration.toFixed(1));
      wave.sound = shown;
    }
    relabel(toggle, player.playing ? "pause" : "play", player.playing ? "Pause" : "Play");
  });
  player.addEventListener("time", () => {
    if (!player.sound) return;
    wave.time = player.time;
    const words = `${clock(player.time)} / ${clock(player.sound.duration)}`;
    if (byId("player-time").textContent === words) return;
    byId("player-time").textContent = words;
    position.setAttribute("aria-valuenow", player.time.toFixed(1));
    position.setAttribute("aria-valuetext", `${player.time.toFixed(1)} of ${player.sound.duration.toFixed(1)} seconds`);
  });
  connectPosition(position);
  connectSwitches();
  connectKeeping();
}

function connectPosition(position) {
  const keys = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
  position.addEventListener("keydown", (event) => {
    if (event.key in keys) player.seek(player.time + keys[event.key]);
    else if (event.key === "Home") player.seek(0);
    else if (event.key === "End") player.seek(Infinity);
    else if (event.key === "Enter") player.play(player.sound);
    else return;
    event.preventDefault();
  });
  const drag = (event) => player.seek(((event.offsetX || 0) / position.clientWidth) * player.sound.duration);
  position.addEventListener("pointerdown", (event) => {
    position.setPointerCapture(event.pointerId);
    drag(event);
  });
  position.addEventListener("pointermove", (event) => {
    if (position.hasPointerCapture(event.pointerId)) drag(event);
  });
}

/** The star of what is loaded, and the way into a collection; a sound that was dropped has none. */
function connectKeeping() {
  const star = byId("player-star");
  const into = byId("player-collect");
  const show = () => {
    for (const button of [star, into]) button.hidden = !player.sound?.download;
    if (player.sound) showStar(star, player.sound);
  };
  player.addEventListener("change", show);
  onFavourites(show);
  star.addEventListener("click", () => toggleFavourite(player.sound));
  into.addEventListener("click", () => openCollect(player.sound));
}

function connectSwitches() {
  const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
  const loop = byId("player-loop");
  loop.addEventListener("click", () => {
    player.loop = !player.loop;
    pressed(loop, player.loop);
  });
  const follow = byId("player-follow");
  pressed(follow, settings.get("follow", true));
  follow.addEventListener("click", () => {
    settings.set("follow", !settings.get("follow", true));
    pressed(follow, settings.get("follow", true));
  });
  const volume = byId("player-volume");
  volume.value = player.volume;
  volume.addEventListener("input", () => {
    player.volume = Number(volume.value);
  });
}
