/** The banner at the top of the page: what went wrong, and what the caller can do about it. */

import { byId, emit } from "./dom.js";

/** @typedef {import("./device-errors.js").Trouble} Trouble */

/** Event: `action` when its button is pressed, which calls without a microphone. */
export class Banner extends EventTarget {
  #box = byId("error-banner", HTMLElement);
  #title = byId("error-title", HTMLElement);
  #detail = byId("error-detail", HTMLElement);
  #action = byId("error-action", HTMLButtonElement);

  constructor() {
    super();
    this.#action.addEventListener("click", () => emit(this, "action"));
    byId("error-close", HTMLButtonElement).addEventListener("click", () => this.hide());
  }

  /**
   * @param {Trouble} trouble
   * @param {{tone?: "trouble" | "note", action?: boolean}} options a note is nobody's fault
   */
  show({ title, detail }, { tone = "trouble", action = false } = {}) {
    this.#box.dataset.tone = tone;
    this.#title.textContent = title && !/[.!?…]$/.test(title) ? `${title}.` : title;
    this.#detail.textContent = detail;
    this.#action.hidden = !action;
    this.#box.hidden = false;
  }

  hide() {
    this.#box.hidden = true;
  }
}
