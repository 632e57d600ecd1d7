/** Asks for the service's key. */

import { byId, emit } from "./dom.js";
import { key } from "./http.js";

/** Event: `given` when the caller has entered a key, which is then kept (see http.js). */
export class KeyDialog extends EventTarget {
  #dialog = byId("key-dialog", HTMLDialogElement);
  #title = byId("key-title", HTMLElement);
  #input = byId("key", HTMLInputElement);

  constructor() {
    super();
    byId("key-form", HTMLFormElement).addEventListener("submit", () => {
      key.set(this.#input.value.trim());
      this.#input.value = "";
      emit(this, "given");
    });
    byId("key-cancel", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
  }

  /** A key that was sent and refused is forgotten. */
  ask() {
    this.#title.textContent = key.get() ? "The key was not accepted" : "This service needs a key";
    key.forget();
    this.#input.value = "";
    this.#dialog.showModal();
  }
}
