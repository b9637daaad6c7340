// Pictures and sounds to search with: chosen, dropped, pasted or recorded. The server keeps their
// embedding for a while; this tab remembers what they were, so that back and forward show them.

import { patiently } from "./api.js";
import { byId } from "./dom.js";

const remembered = new Map();
const files = new Map();

const storageKey = (id) => `wav2clip.upload.${id}`;

/** Send a file; `labels` are words to hear it with, by commas; by default the server's own list. */
export async function upload(file, { labels = "", signal } = {}) {
  const words = labels.split(",").map((word) => word.trim()).filter(Boolean);
  const query = [["name", file.name], ...words.map((word) => ["label", word])];
  const answer = await patiently("api/uploads", { query, body: file, signal });
  files.set(answer.id, { file, address: URL.createObjectURL(file) });
  const known = { ...answer, name: file.name || answer.name, asked: labels.trim() };
  remembered.set(answer.id, known);
  try {
    sessionStorage.setItem(storageKey(answer.id), JSON.stringify(known));
  } catch {
    // Without storage a reload forgets the name and the labels, not the search.
  }
  return known;
}

/** What this tab knows of an upload, or null. */
export function uploadOf(id) {
  if (!remembered.has(id)) {
    try {
      const stored = sessionStorage.getItem(storageKey(id));
      if (stored) remembered.set(id, JSON.parse(stored));
    } catch {
      return null;
    }
  }
  return remembered.get(id) ?? null;
}

/** The file itself and an address of it within this tab, as long as the tab was not loaded anew. */
export const fileOf = (id) => files.get(id) ?? null;

/** An uploaded sound in the form that the player takes, or null. */
export function playable(known) {
  const held = fileOf(known.id);
  if (!held || known.kind !== "sound") return null;
  return {
    id: known.id, name: known.name, audio: held.address, peaks: known.waveform,
    duration: known.seconds, start: 0, end: known.seconds,
  };
}

/** Take files from the button, from anywhere on the page, and from the clipboard. */
export function connectSources(take) {
  const field = byId("file");
  byId("choose").addEventListener("click", () => field.click());
  field.addEventListener("change", () => {
    if (field.files.length) take(field.files[0]);
    field.value = "";
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  connectDrop(take);
}

function connectDrop(take) {
  const sheet = byId("drop");
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const show = (on) => {
    sheet.hidden = !on;
    if (!on) depth = 0;
  };
  addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    depth += 1;
    show(true);
  });
  addEventListener("dragleave", (event) => {
    if (!carries(event)) return;
    depth -= 1;
    if (depth <= 0) show(false);
  });
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    show(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}
