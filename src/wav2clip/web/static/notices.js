// What went wrong, what was expected, and what to do: shown where it is seen, said aloud.

import { byId, element, icon, iconButton } from "./dom.js";

const sentence = (text) => {
  const trimmed = text.trim();
  const whole = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
};

/**
 * Show an error until it is closed, solved or replaced by another of the same `kind`.
 * `about` names what it concerns; `retry` adds a button; an answer "busy" (429) tries by itself when the server said so.
 */
export function notice(kind, error, { about, retry } = {}) {
  clear(kind);
  const parts = [element("strong", {}, about ? `${about}: ` : "", sentence(error.what ?? error.message))];
  if (error.expected) parts.push(element("p", {}, `Expected: ${sentence(error.expected)}`));
  if (error.action) parts.push(element("p", {}, sentence(error.action)));
  const block = element("div", { class: "notice", role: "alert", "data-kind": kind }, icon("warning"), element("div", {}, ...parts));
  if (retry) {
    const again = () => {
      clear(kind);
      retry();
    };
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", again);
    block.append(button);
    if (error.status === 429) countDown(block, button, Math.ceil(error.retryAfter || 1), again);
  }
  block.append(iconButton("close", "Close this message", () => block.remove()));
  byId("notices").append(block);
}

function countDown(block, button, seconds, again) {
  if (!block.isConnected && seconds < 0) return;
  button.textContent = `Try again (in ${seconds} s)`;
  setTimeout(() => {
    if (!block.isConnected) return;
    if (seconds > 1) countDown(block, button, seconds - 1, again);
    else again();
  }, 1000);
}

/** What went wrong inside of a dialog, which stands before the page. */
export const problem = (error) => element("p", { class: "notice", role: "alert" }, icon("warning"),
  element("span", {}, [error.what ?? error.message, error.action].filter(Boolean).join(". ")));

export function clear(kind) {
  for (const block of document.querySelectorAll(`.notice[data-kind="${kind}"]`)) block.remove();
}
