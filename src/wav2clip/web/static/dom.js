// Small helpers for the document: elements, icons, words for numbers, and what is said aloud.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`class`, `data-...` and `aria-...` are attributes) and children; text stays text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "class" || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `static/icons.svg#${name}`);
  picture.append(use);
  return picture;
}

/** Give a button that has an icon and hidden words another icon and other words. */
export function relabel(button, name, words) {
  if (button.dataset.shown === `${name} ${words}`) return;
  button.dataset.shown = `${name} ${words}`;
  button.replaceChildren(icon(name), element("span", { class: "hidden" }, words));
}

/** A button that shows an icon and says its words. */
export function iconButton(name, words, onClick, properties = {}) {
  const button = element("button", { type: "button", class: "quiet", title: words, ...properties });
  relabel(button, name, words);
  button.addEventListener("click", onClick);
  return button;
}

/** Let a screen reader say it, politely. The same words twice in a row are said twice. */
export function announce(words) {
  const status = byId("status");
  status.textContent = status.textContent === words ? `${words}\u00a0` : words;
}

export function amount(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Seconds as a clock: 3.2 -> "0:03.2", 75 -> "1:15.0", 3700 -> "1:01:40". */
export function clock(seconds) {
  const tenths = Math.max(0, Math.round((seconds || 0) * 10));
  const whole = Math.floor(tenths / 10);
  const hours = Math.floor(whole / 3600);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(whole % 60)}`;
  return `${minutes}:${two(whole % 60)}.${tenths % 10}`;
}

/** Seconds as people say them: "4.2 s", "12 min", "31.5 h". */
export function span(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A colour of the stylesheet as it is now, in the theme that is shown. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** Call back whenever colours change: the system's theme or the page's own switch. */
export function onThemeChange(callback) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
  document.addEventListener("themechange", callback);
}

/** Make a canvas as fine as the screen; returns its context, scaled to CSS pixels, and its size in them. */
export function prepare(canvas) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** A setting of this browser that outlives the visit, where the browser allows it. */
export const settings = {
  get(name, fallback) {
    try {
      return JSON.parse(localStorage.getItem(`wav2clip.${name}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`wav2clip.${name}`, JSON.stringify(value));
    } catch {
      // Storage is switched off: the setting lasts as long as the page.
    }
  },
};
