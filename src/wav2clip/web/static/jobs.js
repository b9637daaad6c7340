// A job on the page: what it does, how far it is, a button that stops it, and how it ended.

import { cancel, follow } from "./api.js";
import { announce, element } from "./dom.js";
import { notice } from "./notices.js";

/**
 * A block that follows a job to its end. Resolves `ended` with the last state, or null where the
 * server could not be asked any more (which is shown).
 */
export function jobBlock(job, title, { onPreview } = {}) {
  const bar = element("progress", { "aria-label": title });
  const words = element("span", { class: "words" });
  const stop = element("button", { type: "button" }, "Stop");
  const block = element("div", { class: "job" }, element("span", { class: "name" }, title), bar, words, stop);
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    await cancel(job).catch((error) => notice("job", error));
  });
  const show = (latest) => {
    block.dataset.state = latest.state;
    if (latest.total) Object.assign(bar, { max: latest.total, value: latest.done });
    const count = latest.total ? `${latest.done.toLocaleString("en")} of ${latest.total.toLocaleString("en")}` : "";
    words.textContent = [count, latest.message || STATES[latest.state]].filter(Boolean).join(" · ");
  };
  show(job);
  const ended = follow(job, show, onPreview).then((last) => {
    announce(`${title}: ${STATES[last.state]}. ${last.message}`);
    bar.remove();
    stop.remove();
    return last;
  }).catch((error) => {
    notice("job", error);
    stop.remove();
    return null;
  });
  return { block, ended };
}

const STATES = { queued: "waiting", running: "at work", done: "done", failed: "failed", cancelled: "stopped" };
