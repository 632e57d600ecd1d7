/** Push-to-talk: the caller holds a button or the space bar while speaking. */

import { byId } from "./dom.js";

/** Sound takes longer to reach the service than a message: without this the last syllable is cut off. */
const TAIL_MS = 200;

/** Elements in which the space bar has another meaning. */
const TAKES_SPACE = "input, select, textarea, button, summary, a, [contenteditable]";

/** Events: `start` when the caller begins to speak, `end` a moment after the button is released. */
export class Talk extends EventTarget {
  #button = byId("talk", HTMLButtonElement);
  #words = byId("talk-words", HTMLElement);
  /** What holds it down. @type {Set<"pointer" | "key" | "click">} */
  #held = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #tail;
  #speaking = false;

  constructor() {
    super();
    const button = this.#button;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId); // it may be released anywhere
      this.#press("pointer");
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(name, () => this.#release("pointer"));
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch is not a right click
    // A click without pointer or key comes from a screen reader, which cannot hold: the button is a switch then.
    button.addEventListener("click", (event) => {
      if (event.detail === 0) this.#held.has("click") ? this.#release("click") : this.#press("click");
    });
    document.addEventListener("keydown", (event) => this.#onKey(event, true));
    document.addEventListener("keyup", (event) => this.#onKey(event, false));
    addEventListener("blur", () => this.letGo());
    document.addEventListener("visibilitychange", () => document.hidden && this.letGo());
    // After a click on another button the space bar is still for talking.
    button.parentElement?.addEventListener("click", ({ detail, target }) => {
      if (detail > 0 && target instanceof Element && target.closest("button")) this.focus();
    });
  }

  get shown() {
    return !this.#button.hidden;
  }

  /** @param {boolean} shown */
  show(shown) {
    if (!shown) this.cut();
    this.#button.hidden = !shown;
  }

  focus() {
    if (this.shown && !this.#button.disabled && !document.querySelector("dialog[open]")) {
      this.#button.focus({ preventScroll: true });
    }
  }

  /** @param {boolean} usable false without a microphone */
  enable(usable) {
    if (!usable) this.letGo();
    this.#button.disabled = !usable;
  }

  letGo() {
    for (const by of [...this.#held]) this.#release(by);
  }

  /** The call is over: no `end` follows. */
  cut() {
    clearTimeout(this.#tail);
    this.#held.clear();
    this.#speaking = false;
    this.#showHeld();
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} down
   */
  #onKey(event, down) {
    const mine = event.target === this.#button;
    if (event.key !== " " && !(mine && event.key === "Enter")) return;
    if (!down && this.#held.has("key")) {
      event.preventDefault(); // it would click as well
      return this.#release("key");
    }
    const elsewhere = !mine && event.target instanceof Element && event.target.closest(TAKES_SPACE);
    const blocked = event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]");
    if (!down || !this.shown || this.#button.disabled || elsewhere || blocked) return;
    event.preventDefault(); // it would scroll
    if (!event.repeat) this.#press("key");
  }

  /** @param {"pointer" | "key" | "click"} by */
  #press(by) {
    clearTimeout(this.#tail);
    this.#held.add(by);
    this.#showHeld();
    if (this.#speaking) return; // released and pressed again within the tail
    this.#speaking = true;
    this.dispatchEvent(new Event("start"));
  }

  /** @param {"pointer" | "key" | "click"} by */
  #release(by) {
    if (!this.#held.delete(by) || this.#held.size) return;
    this.#showHeld();
    this.#tail = setTimeout(() => {
      this.#speaking = false;
      this.dispatchEvent(new Event("end"));
    }, TAIL_MS);
  }

  #showHeld() {
    const held = this.#held.size > 0;
    this.#button.setAttribute("aria-pressed", String(held));
    this.#words.textContent = held ? "Release to send" : "Hold to talk";
  }
}
