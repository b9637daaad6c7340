// The page: state in the address -> what is asked -> what is shown.

import { patiently, request } from "./api.js";
import { connectAudition } from "./audition.js";
import { asSound, showHeadings } from "./browse.js";
import { connectCollect } from "./collect.js";
import { connectCollections, hideCollections, showAgain, showCollections, showMore } from "./collections.js";
import { amount, announce, byId, element, icon, settings } from "./dom.js";
import { connectFacets, forgetFacets, showFacets } from "./facets.js";
import { loadFavourites } from "./favourites.js";
import { connectFilters, fillFilters, showFilters } from "./filters.js";
import { connectGenerate, openGenerate } from "./generate.js";
import { connectHeard, showHeard } from "./heard.js";
import { connectLibrary, showLibrary } from "./library.js";
import { connectMap, forgetMap, light, openMap } from "./map.js";
import { clear, notice } from "./notices.js";
import { connectBar, player } from "./player.js";
import { connectRecall } from "./recall.js";
import { record } from "./recorder.js";
import { connectResults, select, showResults, sounds } from "./results.js";
import {
  browses, filesQuery, filtered, go, href, nothing as nowhere, onState, partOf, read, searchQuery, searches, toView, unfiltered,
} from "./state.js";
import { connectSearches } from "./searches.js";
import { showSources } from "./sources.js";
import { connectSources, upload, uploadOf } from "./uploads.js";
import { showSpectrograms, showsSpectrograms } from "./waveform.js";
import { showWelcome } from "./welcome.js";

const PAGE = 40; // finds shown at once
const MOST = 200; // finds the server gives
const TYPING = 250; // ms without a key before what is typed is searched

const phrase = byId("phrase");
let library = null;
let found = null; // { key, hits, query, warnings, seconds_taken }
let files = null; // { key, sounds, total, seconds_taken }: without a query
let shown = PAGE;
let searching = null;
let typing = 0;

async function start() {
  connectTheme();
  connectKeys();
  connectBar();
  connectAudition();
  connectMap();
  connectFilters();
  connectFacets();
  connectPictures();
  connectSources(search);
  connectLibrary(refreshLibrary);
  connectGenerate();
  connectCollections();
  connectCollect(showAgain);
  connectPhrase();
  connectRecall();
  connectSearches();
  player.addEventListener("failed", (event) => notice("play", event.detail));
  player.addEventListener("change", () => player.playing && clear("play"));
  onState(render);
  await refreshLibrary();
}

/** What the library holds decides what the page offers. */
async function refreshLibrary() {
  clear("library");
  try {
    library = await patiently("api/library");
  } catch (error) {
    notice("library", error, { retry: refreshLibrary });
    return;
  }
  const generate = library.can_generate;
  connectOnce({
    results: {
      like: (sound) => go({ ...nowhere, like: [partOf(sound)] }),
      mark,
      marked,
      generate: generate
        ? ({ name, id, start, end }) => openGenerate(name, { id, start, end })
        : undefined,
    },
    heard: {
      search: (words) => go({ ...nowhere, q: words }),
      relabel: (file, words) => search(file, words),
      generate: generate ? (known) => openGenerate(known.name, { upload: known.id }) : undefined,
    },
  });
  document.querySelector("[data-view=map]").hidden = !library.can_map;
  fillFilters(library);
  showLibrary(library);
  forgetMap();
  forgetFacets();
  found = null;
  files = null;
  render(read(), { typed: true });
  if (library.files) await refreshStars();
}

async function refreshStars() {
  try {
    await loadFavourites();
  } catch (error) {
    notice("collect", error, { retry: refreshStars });
  }
}

/** Whether a find is marked as right (true) or wrong (false); null for neither. */
function marked(sound) {
  const state = read();
  const part = partOf(sound);
  return state.like.includes(part) ? true : state.unlike.includes(part) ? false : null;
}

/** Mark a find, or take the mark back: what is right is added to the query, what is wrong left out. */
function mark(sound, good) {
  const part = partOf(sound);
  const state = read();
  const again = marked(sound) === good;
  const without = (list) => list.filter((each) => each !== part);
  go({
    like: good && !again ? [...without(state.like), part] : without(state.like),
    unlike: !good && !again ? [...without(state.unlike), part] : without(state.unlike),
  });
}

let connected = false;

function connectOnce({ results, heard }) {
  if (connected) return;
  connected = true;
  connectResults(results);
  connectHeard(heard);
}

/** `typed`: what stands in the search box may be newer than the state. */
function render(state, { live = false, again = false, typed = live }) {
  const empty = library?.files === 0;
  const view = empty ? "library" : state.view;
  for (const link of document.querySelectorAll("[data-view]")) {
    link.setAttribute("href", href({ ...state, ...toView(link.dataset.view) }));
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = view;
  if (document.activeElement !== phrase || !typed) phrase.value = state.q;
  showFilters(state);
  showSources(state);
  showHeard(state.upload && !["library", "collections"].includes(view) ? uploadOf(state.upload) : null);
  byId("library").hidden = view !== "library";
  byId("stage").hidden = view === "library";
  byId("map-view").hidden = view !== "map";
  if (!library) return;
  showWelcome(library, { hidden: searches(state) || browses(state) || view !== "list" });
  showFacets(state, { hidden: !browses(state) && !(view === "list" && searches(state)) });
  if (view === "map") openMap();
  document.title = title(state, view);
  if (view === "collections") {
    quiet();
    showCollections(state);
    return;
  }
  hideCollections();
  if (view !== "library") find(state, { live, again });
}

/** Nothing is searched for. */
function quiet() {
  searching?.abort();
  busy(false);
  clear("search");
  clear("words");
  light([]);
}

function title(state, view) {
  const what = state.q || (state.like.length && "more like this") || (state.upload && uploadOf(state.upload)?.name);
  return [what, view === "list" ? "" : view, "wav2clip"].filter(Boolean).join(" · ");
}

/** Ask for what the state searches, unless it is shown already. */
async function find(state, { live, again }) {
  if (!searches(state)) {
    quiet();
    found = null;
    if (browses(state)) {
      await list(state, { again });
      return;
    }
    byId("found").hidden = true;
    showResults([]);
    return;
  }
  searching?.abort();
  busy(false);
  const key = new URLSearchParams(searchQuery(state, 0)).toString();
  if (key !== found?.key) shown = PAGE;
  const limit = state.view === "map" || shown > PAGE ? MOST : PAGE;
  if (key === found?.key && found.limit >= limit && !again) {
    present(state);
    return;
  }
  const asked = new AbortController();
  searching = asked;
  busy(true);
  try {
    const answer = await request("api/search", { query: searchQuery(state, limit), signal: asked.signal });
    found = { ...answer, key, limit };
    clear("search");
    warn(answer);
    present(state);
  } catch (error) {
    if (error.name === "AbortError") return;
    // Half a query is no mistake while it is being typed.
    if (live && error.status === 422) return;
    fail(state, error);
  } finally {
    if (searching === asked) busy(false);
  }
}

/** Say what the server had to say about words and filters. */
function warn({ warnings }) {
  clear("words");
  if (warnings.length) notice("words", { what: warnings.join("; ") });
}

/** List files without a query: the first of them, or `more` of them. */
async function list(state, { again = false, more = false } = {}) {
  const key = new URLSearchParams(filesQuery(state, 0, 0)).toString();
  const known = key === files?.key ? files.sounds : [];
  if (key === files?.key && !again && !more) {
    presentFiles(state);
    return;
  }
  const asked = new AbortController();
  searching = asked;
  busy(true);
  try {
    const from = more ? known.length : 0;
    const answer = await request("api/files", { query: filesQuery(state, from, PAGE), signal: asked.signal });
    files = { ...answer, key, sounds: [...(more ? known : []), ...answer.files.map(asSound)] };
    clear("search");
    warn(answer);
    presentFiles(state);
  } catch (error) {
    if (error.name !== "AbortError") fail(state, error);
  } finally {
    if (searching === asked) busy(false);
  }
}

function presentFiles(state) {
  const { sounds: listed, total, seconds_taken: taken } = files;
  byId("found").hidden = false;
  byId("unlikely").hidden = true;
  showHeadings(state);
  showResults(listed, { listed: true });
  byId("files").setAttribute("aria-rowcount", String(total + 1));
  byId("found-title").replaceChildren(...(total ? heading(amount(total, "sound"), taken) : nothing(state)));
  byId("more").hidden = listed.length >= total;
  announce(total ? `${amount(total, "sound")}, ${listed.length.toLocaleString("en")} shown` : "Nothing found");
}

const heading = (words, taken) => [`${words} `, element("span", { class: "fine" }, `${Math.max(1, Math.round(taken * 1000))} ms`)];

function fail(state, error) {
  found = null;
  files = null;
  byId("found").hidden = true;
  showResults([]);
  light([]);
  const gone = error.status === 404 && (state.upload || state.like.length);
  if (gone && state.upload) error.action ??= "Drop the picture or the sound again.";
  notice("search", error, { retry: gone ? undefined : () => find(read(), { again: true }) });
}

function present(state) {
  const { hits, seconds_taken: taken } = found;
  const visible = hits.slice(0, shown);
  byId("found").hidden = false;
  showResults(visible);
  light(hits);
  const words = hits.length < found.limit ? amount(hits.length, "sound") : `Best ${amount(visible.length, "sound")}`;
  byId("found-title").replaceChildren(...(hits.length ? heading(words, taken) : nothing(state)));
  byId("more").hidden = visible.length >= hits.length && (hits.length < found.limit || found.limit >= MOST);
  const unlikely = hits.length > 0 && !found.likely;
  byId("unlikely").hidden = !unlikely;
  const heard = hits.length ? `${amount(visible.length, "sound")} found` : "Nothing found";
  announce(unlikely ? `${heard}, none of them likely` : heard);
}

function nothing(state) {
  if (!filtered(state)) return ["Nothing found."];
  const button = element("button", { type: "button" }, "Clear filters");
  button.addEventListener("click", () => go(unfiltered));
  return ["No sound passes the filters. ", button];
}

function busy(on) {
  byId("progress").hidden = !on;
  byId("found").setAttribute("aria-busy", String(on));
}

/** Search with a file. */
async function search(file, labels = "") {
  clear("upload");
  const done = showSources.busy(file.name);
  announce(`Reading ${file.name}`);
  try {
    const known = await upload(file, { labels });
    const { view } = read();
    go({ ...nowhere, upload: known.id, view: view === "library" ? "list" : view });
  } catch (error) {
    const passing = error.status === 429 || error.status === 0;
    notice("upload", error, { about: file.name, retry: passing ? () => search(file, labels) : undefined });
  } finally {
    done();
  }
}

function connectPhrase() {
  phrase.value = read().q;
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go({ q: phrase.value.trim(), view: document.body.dataset.view === "map" ? "map" : "list" });
  });
  phrase.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      go({ q: phrase.value.trim(), view: document.body.dataset.view === "map" ? "map" : "list" }, { live: true });
    }, TYPING);
  });
  phrase.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || !sounds().length) return;
    event.preventDefault();
    select(0);
  });
  byId("record").addEventListener("click", async () => {
    clear("upload");
    try {
      const file = await record();
      if (file) await search(file);
    } catch (error) {
      notice("upload", error);
    }
  });
  byId("more").addEventListener("click", () => {
    if (read().view === "collections") {
      const next = sounds().length;
      showMore().then(() => select(next, { listen: false }));
      return;
    }
    if (browses(read())) {
      const next = files.sounds.length;
      list(read(), { more: true }).then(() => select(next, { listen: false }));
      return;
    }
    const first = shown;
    shown = Math.min(MOST, shown + PAGE);
    find(read(), {}).then(() => select(first, { listen: false }));
  });
}

function connectKeys() {
  const letters = byId("letters");
  letters.checked = settings.get("letters", true);
  letters.addEventListener("change", () => settings.set("letters", letters.checked));
  byId("keys").addEventListener("click", () => byId("help").showModal());
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-view], a[data-go]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { view, go: home } = link.dataset;
    if (home) go({ ...nowhere, view: "list", ...unfiltered });
    else go(toView(view));
  });
  document.addEventListener("keydown", (event) => {
    const busyElsewhere = event.target.closest("input, textarea, select, button, a, [role=slider], dialog, canvas");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typed = event.target.closest("input, textarea, select, dialog");
    if (event.key === " " && !busyElsewhere && player.sound) player.toggle();
    else if (event.key === "/" && !typed && settings.get("letters", true)) phrase.select();
    else if (event.key.toLowerCase() === "s" && !typed && settings.get("letters", true)) byId("pictures").click();
    else if (event.key === "?" && !typed && settings.get("letters", true)) byId("help").showModal();
    else return;
    event.preventDefault();
  });
}

/** Spectrograms in place of waveforms, and back. */
function connectPictures() {
  const button = byId("pictures");
  const show = () => button.setAttribute("aria-pressed", String(showsSpectrograms()));
  show();
  button.addEventListener("click", () => {
    showSpectrograms(!showsSpectrograms());
    show();
    announce(showsSpectrograms() ? "Spectrograms" : "Waveforms");
  });
}

function connectTheme() {
  const names = { system: "as the system", dark: "dark", light: "light" };
  const order = Object.keys(names);
  const button = byId("theme");
  const apply = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.replaceChildren(icon("theme"), element("span", { class: "hidden" }, `Theme: ${names[name]}`));
    button.title = `Theme: ${names[name]}`;
    document.dispatchEvent(new Event("themechange"));
  };
  apply(settings.get("theme", "system"));
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(settings.get("theme", "system")) + 1) % order.length];
    settings.set("theme", next);
    apply(next);
    announce(`Theme: ${names[next]}`);
  });
}

start();
