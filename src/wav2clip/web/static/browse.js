// The files of the library without a query, as a table: its headings sort, more rows come when asked for.

import { byId, element, icon } from "./dom.js";
import { go, read } from "./state.js";

/** Columns: the area of the row that a cell lies in, what it is called, and what the API calls its order. */
const COLUMNS = [
  { area: "play", title: "Play", quiet: true },
  { area: "wave", title: "Picture", quiet: true },
  { area: "name", title: "Name", sort: "name" },
  { area: "path", title: "Folder", sort: "path" },
  { area: "tags", title: "Tags", quiet: true },
  { area: "rate", title: "Rate", sort: "rate" },
  { area: "channels", title: "Channels", sort: "channels" },
  { area: "modified", title: "Changed", sort: "modified" },
  { area: "size", title: "Size", sort: "size" },
  { area: "length", title: "Length", sort: "length" },
  { area: "actions", title: "What to do with it", quiet: true },
];

/** A file as the rows and the player take a sound: all of it is meant. */
export const asSound = (file) => ({ ...file, start: 0, end: file.duration, peak: 0, words: [], listed: true });

const bytes = (size) => (size < 1e6 ? `${Math.ceil(size / 1e3)} kB` : size < 1e9 ? `${(size / 1e6).toFixed(1)} MB` : `${(size / 1e9).toFixed(2)} GB`);
const CHANNELS = { 1: "mono", 2: "stereo" };

/** What a row tells of a file beside its name, as cells. */
export const facts = (file) => [
  ["rate", `${file.samplerate / 1000} kHz`],
  ["channels", CHANNELS[file.channels] ?? `${file.channels} ch.`],
  ["modified", file.modified.slice(0, 10)],
  ["size", bytes(file.size)],
];

/** The headings, in the order that a state has. */
export function showHeadings({ sort, order }) {
  const focused = document.activeElement?.dataset?.sort;
  byId("headings").replaceChildren(...COLUMNS.map((column) => heading(column, sort, order)));
  if (focused) byId("headings").querySelector(`[data-sort=${focused}]`).focus();
}

function heading({ area, title, sort, quiet }, sorted, order) {
  if (quiet) return element("div", { class: `at-${area}`, role: "columnheader" }, element("span", { class: "hidden" }, title));
  const own = sort === sorted;
  const up = order === "asc";
  const button = element("button", { type: "button", class: "quiet", "data-sort": sort }, title,
    own ? icon(up ? "ascending" : "descending") : null);
  button.addEventListener("click", () => go({ sort, order: sort === read().sort && read().order === "asc" ? "desc" : "asc" }));
  return element("div", { class: `at-${area}`, role: "columnheader", "aria-sort": own ? (up ? "ascending" : "descending") : "none" }, button);
}
