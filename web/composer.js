/** The form below the transcript: typed text, and pictures that go with it. */

import { Attachments } from "./attachments.js";
import { byId, emit, listen } from "./dom.js";
import { Problem } from "./http.js";
import { newId, sendText } from "./rtvi.js";

/** Sent along with pictures that come without words. */
const DESCRIBE = "Describe what you see.";

/** Event: `trouble` {title, detail}. */
export class Composer extends EventTarget {
  /** @type {import("./call.js").Call | null} */
  #call = null;
  #attachments = new Attachments();
  #text = byId("text", HTMLInputElement);
  #send = byId("send", HTMLButtonElement);
  #transcript;

  /** @param {import("./transcript.js").Transcript} transcript shows at once what is sent */
  constructor(transcript) {
    super();
    this.#transcript = transcript;
    listen(this.#attachments, "trouble", (trouble) => emit(this, "trouble", trouble));
    byId("text-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** @param {import("./call.js").Call | null} call the one to type into; null: there is none */
  follow(call) {
    this.#call = call;
    this.#text.disabled = this.#send.disabled = !call;
    this.#attachments.enable(call !== null);
  }

  #submit() {
    const words = this.#text.value.trim();
    const { blobs } = this.#attachments;
    if (!this.#call || !(words || blobs.length)) return;
    if (blobs.length) {
      void this.#ask(this.#call, words || DESCRIBE, blobs);
    } else {
      const message = sendText(words);
      if (!this.#call.send(message)) return;
      this.#transcript.typed(message.id, words);
    }
    this.#text.value = "";
  }

  /**
   * @param {import("./call.js").Call} call
   * @param {string} words
   * @param {Blob[]} blobs
   */
  async #ask(call, words, blobs) {
    const id = newId();
    this.#transcript.typed(id, words);
    this.#attachments.clear();
    try {
      await call.ask(words, blobs);
    } catch (error) {
      this.#transcript.refused(id);
      const told = error instanceof Problem ? error : { title: "The pictures were not sent", detail: String(error) };
      emit(this, "trouble", { title: told.title, detail: told.detail });
    }
  }
}
