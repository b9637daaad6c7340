// Spectrograms: levels as the server gives them, in the colours of the theme.

import { colour } from "./dom.js";

const STOPS = ["--heat-0", "--heat-1", "--heat-2", "--heat-3", "--heat-4"];
const palettes = new Map();

/** The levels in a greyscale picture, 0 to 255, with its `width` and `height`. */
export async function levelsIn(blob) {
  const picture = await createImageBitmap(blob);
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  picture.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, levels: Uint8Array.from({ length: width * height }, (_, place) => data[4 * place]), shown: null };
}

/** The picture of levels in the colours of the theme that is shown; drawn once for each. */
export function tinted(given) {
  const theme = STOPS.map(colour).join();
  if (given.shown?.theme === theme) return given.shown.canvas;
  const canvas = new OffscreenCanvas(given.width, given.height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(given.width, given.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = paletteOf(theme);
  given.levels.forEach((level, place) => {
    pixels[place] = colours[level];
  });
  context.putImageData(image, 0, 0);
  given.shown = { theme, canvas };
  return canvas;
}

/** 256 colours as pixels, between the stops of a theme. */
function paletteOf(theme) {
  if (palettes.has(theme)) return palettes.get(theme);
  const stops = STOPS.map((name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number));
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const first = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      bytes[4 * level + part] = stops[first][part] + (place - first) * (stops[first + 1][part] - stops[first][part]);
    }
    bytes[4 * level + 3] = 255;
  }
  const palette = new Uint32Array(bytes.buffer);
  palettes.set(theme, palette);
  return palette;
}
