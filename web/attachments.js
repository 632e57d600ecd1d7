/** Pictures to send with the next typed text: chosen, pasted or dropped, and shown as thumbnails until then. */

import { byId, emit, make } from "./dom.js";

/** The limits of the service: docs/calls.md. */
const MAX_PICTURES = 8;
const MAX_FORM_BYTES = 8 << 20;
const TAKEN_TYPES = ["image/jpeg", "image/png"];
/** A larger file is scaled down: the agent would see no more in it, and the call's audio would wait behind it. */
const LARGE_BYTES = 1 << 20;
const LONGEST_SIDE = 2048;
const THUMBNAIL_SIDE = 56;

/** @typedef {{blob: Blob, item: HTMLElement}} Attachment */

/** Event: `trouble` {title, detail}. */
export class Attachments extends EventTarget {
  /** @type {Attachment[]} */
  #all = [];
  #list = byId("attachments", HTMLElement);
  #button = byId("attach", HTMLButtonElement);
  #input = byId("attach-files", HTMLInputElement);

  constructor() {
    super();
    this.#button.addEventListener("click", () => this.#input.click());
    this.#input.addEventListener("change", () => {
      void this.add([...(this.#input.files ?? [])]);
      this.#input.value = ""; // so that the same file can be chosen again
    });
    const form = byId("text-form", HTMLFormElement);
    form.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    form.addEventListener("dragover", (event) => event.preventDefault());
    form.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
  }

  /** @param {boolean} enabled nothing can be attached outside a call */
  enable(enabled) {
    this.#button.disabled = !enabled;
    if (!enabled) this.clear();
  }

  get blobs() {
    return this.#all.map(({ blob }) => blob);
  }

  clear() {
    this.#all = [];
    this.#show();
  }

  /** @param {File[]} files */
  async add(files) {
    for (const file of files) {
      try {
        if (this.#all.length >= MAX_PICTURES) throw new Error(`Attach ${MAX_PICTURES} pictures at most.`);
        const made = await prepared(file);
        const sum = this.#all.reduce((bytes, { blob }) => bytes + blob.size, made.blob.size);
        if (sum > MAX_FORM_BYTES) throw new Error("Together the pictures are too large.");
        this.#attach(file.name, made);
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        emit(this, "trouble", { title: "The picture was not attached", detail });
        return;
      }
    }
  }

  /**
   * @param {string} name
   * @param {{blob: Blob, thumbnail: HTMLCanvasElement}} made
   */
  #attach(name, { blob, thumbnail }) {
    const label = `Remove ${name || "the picture"}`;
    const item = make("button", { type: "button", "aria-label": label, title: label }, thumbnail);
    const attachment = { blob, item };
    item.addEventListener("click", () => {
      this.#all = this.#all.filter((one) => one !== attachment);
      this.#show();
    });
    this.#all.push(attachment);
    this.#show();
  }

  /**
   * @param {Event} event
   * @param {DataTransfer | null} carried
   */
  #take(event, carried) {
    const files = [...(carried?.files ?? [])];
    if (!files.length || this.#button.disabled) return;
    event.preventDefault();
    void this.add(files);
  }

  #show() {
    this.#list.replaceChildren(...this.#all.map(({ item }) => item));
    this.#list.hidden = !this.#all.length;
  }
}

/**
 * @param {Blob} file
 * @returns {Promise<{blob: Blob, thumbnail: HTMLCanvasElement}>} unchanged if the service takes it as it is
 */
async function prepared(file) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error("The file is not a picture that this browser can read.");
  });
  try {
    const side = Math.max(picture.width, picture.height);
    const fits = TAKEN_TYPES.includes(file.type) && file.size <= LARGE_BYTES && side <= LONGEST_SIDE;
    const blob = fits ? file : await jpeg(drawn(picture, LONGEST_SIDE));
    return { blob, thumbnail: drawn(picture, THUMBNAIL_SIDE) };
  } finally {
    picture.close();
  }
}

/**
 * @param {ImageBitmap} picture
 * @param {number} side length of the longest side, at most
 */
function drawn(picture, side) {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  if (pen) {
    pen.fillStyle = "white"; // JPEG has no transparency
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  }
  return canvas;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob>}
 */
function jpeg(canvas) {
  return new Promise((made, failed) => {
    canvas.toBlob((blob) => (blob ? made(blob) : failed(new Error("The picture could not be scaled down."))), "image/jpeg", 0.85);
  });
}
