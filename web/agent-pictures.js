/** Draws the pictures that the model makes in the transcript. They and what is said of them are untrusted. */

import { text } from "./rtvi.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {{number: number, type: string, bytes: number, path: string, inline: string}} Told */

/** What a browser draws and cannot run. SVG is a program. */
const TYPES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
const MAX_BYTES = 4 << 20;
/** A few kilobytes can decode to gigabytes. 32 Mi pixels take 128 MiB. */
const MAX_PIXELS = 32 << 20;
/** When there are more, the oldest are removed, or a long call would fill the memory. */
const MAX_DRAWN = 16;

export class AgentPictures {
  #transcript;
  /** Oldest first. @type {{row: HTMLElement, url: string}[]} */
  #drawn = [];

  /** @param {import("./transcript.js").Transcript} transcript */
  constructor(transcript) {
    this.#transcript = transcript;
  }

  /**
   * @param {Record<string, unknown>} data of an `agent-showed-picture`
   * @param {Call} call the one that it came in
   */
  async show(data, call) {
    const row = this.#transcript.addPicture();
    try {
      const told = pictureOf(data);
      const image = await loaded(inlineBlob(told) ?? (await fetched(told, call)), told.number);
      this.#transcript.fillPicture(row, image);
      this.#keep(row, image.src);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#transcript.fillPicture(row, `The picture cannot be shown. ${why}`);
    }
  }

  /**
   * @param {HTMLElement} row
   * @param {string} url
   */
  #keep(row, url) {
    this.#drawn.push({ row, url });
    const oldest = this.#drawn.length > MAX_DRAWN ? this.#drawn.shift() : undefined;
    if (!oldest) return;
    URL.revokeObjectURL(oldest.url);
    this.#transcript.fillPicture(oldest.row, "The picture is no longer kept.");
  }
}

/**
 * @param {Record<string, unknown>} data of an `agent-showed-picture`: untrusted
 * @returns {Told}
 * @throws {Error} the page does not draw it
 */
function pictureOf(data) {
  const type = text(data.mime_type);
  if (!TYPES.has(type)) throw new Error("It is neither PNG, JPEG, WebP nor GIF.");
  const [number, bytes] = [Number(data.number), Number(data.bytes)];
  if (!Number.isInteger(number) || number < 1 || number > 999_999_999) throw new Error("It has no number.");
  if (!Number.isInteger(bytes) || bytes < 1) throw new Error("It is empty.");
  if (bytes > MAX_BYTES) throw new Error(TOO_LARGE);
  return { number, type, bytes, path: text(data.path), inline: text(data.data) };
}

const TOO_LARGE = "It is too large.";

/**
 * @param {Told} told
 * @returns {Blob | null} null if the message does not hold all of it: a large picture is left out, and a long message is shortened
 */
function inlineBlob({ type, bytes, inline }) {
  let data;
  try {
    data = Uint8Array.from(atob(inline), (character) => character.charCodeAt(0));
  } catch {
    return null; // shortened: it ends in an ellipsis
  }
  return data.length === bytes ? new Blob([data], { type }) : null;
}

/**
 * @param {Told} told
 * @param {Call} call
 * @returns {Promise<Blob>}
 */
async function fetched({ number, type, path }, call) {
  const blob = await call.picture(number, path);
  if (blob.type !== type) throw new Error("The service sent something else.");
  if (blob.size > MAX_BYTES) throw new Error(TOO_LARGE);
  return blob;
}

/**
 * @param {Blob} blob
 * @param {number} number
 * @returns {Promise<HTMLImageElement>} its URL is for the caller to revoke
 */
async function loaded(blob, number) {
  const image = new Image();
  image.alt = `Picture ${number} from the agent`;
  image.src = URL.createObjectURL(blob);
  try {
    await new Promise((done, failed) => {
      image.addEventListener("load", done);
      image.addEventListener("error", () => failed(new Error("It cannot be read.")));
    });
    // The size is known from the header; browsers decode the rest only when they draw it.
    if (image.naturalWidth * image.naturalHeight > MAX_PIXELS) throw new Error("It has too many pixels.");
    return image;
  } catch (error) {
    URL.revokeObjectURL(image.src);
    throw error;
  }
}
