/** Single keys that press a button of the page. The settings dialog lists them; the space bar is in talk.js. */

import { byId } from "./dom.js";

/** @type {Record<string, string>} keys, and the ids of the buttons that they press */
const BUTTONS = { m: "mute", c: "camera", s: "screen", ".": "stop", Escape: "hangup" };

export function listenForShortcuts() {
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) {
      if (key === "Escape") target.blur(); // the next Esc hangs up
      return;
    }
    if (Object.hasOwn(BUTTONS, key)) press(BUTTONS[key] ?? "");
    else if (key === "/") focusText(event);
  });
}

/** @param {string} id */
function press(id) {
  const button = byId(id, HTMLButtonElement);
  if (!button.hidden) button.click(); // which does nothing while it is disabled
}

/** @param {KeyboardEvent} event */
function focusText(event) {
  const text = byId("text", HTMLInputElement);
  if (text.disabled) return;
  event.preventDefault(); // the slash itself is not typed
  text.focus();
}
