/** Camera and screen on the page: their buttons, previews, and what the agent saw of them last. */

import { explain, explainScreen } from "./device-errors.js";
import { byId, emit, listen, make } from "./dom.js";
import { VideoSource } from "./video.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./device-errors.js").Trouble} Trouble */
/** @typedef {import("./video.js").SourceName} SourceName */
/** @typedef {{width: number, height: number, bytes: number, atMs: number}} Seen */

const WORDS = {
  camera: { start: "Turn the camera on (c)", stop: "Turn the camera off (c)", noun: "camera" },
  screen: { start: "Share your screen (s)", stop: "Stop sharing your screen (s)", noun: "screen" },
};

/** Width in pixels of the thumbnail of what the agent saw last. */
const LOOK_WIDTH = 192;

/** Event: `trouble` {title, detail}. */
export class Pictures extends EventTarget {
  /** @type {Picture[]} */
  #pictures;
  #box = byId("pictures", HTMLElement);
  camera = new VideoSource("camera");
  screen = new VideoSource("screen");

  constructor() {
    super();
    this.#pictures = [this.camera, this.screen].map((source) => new Picture(source));
    for (const picture of this.#pictures) {
      picture.source.addEventListener("change", () => {
        this.#box.hidden = this.#pictures.every(({ tile }) => tile.hidden);
      });
      listen(picture, "trouble", (trouble) => emit(this, "trouble", trouble));
    }
  }

  /** @param {Call | null} call the one that carries the pictures; null: there is none, so both are switched off */
  follow(call) {
    for (const picture of this.#pictures) picture.follow(call);
  }

  /** @param {Record<string, unknown>} data of the service's `picture-sent` */
  seen({ source, width, height, bytes }) {
    const seen = { width: Number(width), height: Number(height), bytes: Number(bytes), atMs: performance.now() };
    for (const picture of this.#pictures) if (picture.source.name === source) picture.seen(seen);
  }
}

/** Camera or screen. Event: `trouble` {title, detail}. */
class Picture extends EventTarget {
  /** @type {Call | null} */
  #call = null;
  /** @type {Seen | null} */
  #seen = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {VideoSource} source */
  constructor(source) {
    super();
    this.source = source;
    this.button = byId(source.name, HTMLButtonElement);
    this.tile = byId(`${source.name}-tile`, HTMLElement);
    this.preview = byId(`${source.name}-preview`, HTMLVideoElement);
    this.caption = byId(`${source.name}-seen`, HTMLElement);
    this.look = byId(`${source.name}-look`, HTMLCanvasElement);
    // Phones cannot share their screens.
    this.button.hidden = source.name === "screen" && !!navigator.mediaDevices && !("getDisplayMedia" in navigator.mediaDevices);
    this.button.addEventListener("click", () => this.#toggle());
    this.preview.addEventListener("resize", () => this.#fit());
    source.addEventListener("change", () => this.#show());
    source.addEventListener("lost", () => {
      // Whoever stops sharing in the browser's own bar knows it.
      if (source.name === "screen") return;
      this.#trouble({ title: "The camera stopped", detail: "It was unplugged, blocked, or taken by another program." });
    });
    this.#show();
  }

  /** @param {Call | null} call */
  follow(call) {
    this.#call = call;
    if (!call?.carries(this.source.name)) this.source.close();
    this.#showButton();
  }

  /** @param {Seen} seen */
  seen(seen) {
    if (!this.source.stream) return; // it was on its way when the source was switched off
    this.#seen = seen;
    this.#draw(seen);
    this.#showSeen();
  }

  /**
   * Draws the thumbnail from the present frame, which may be a little later than the one that was sent.
   * @param {Seen} seen
   */
  #draw({ width, height }) {
    const { look, preview } = this;
    const pen = look.getContext("2d");
    if (!pen || !preview.videoWidth || !(width > 0) || !(height > 0)) return;
    look.width = LOOK_WIDTH;
    look.height = Math.round((LOOK_WIDTH * height) / width);
    pen.drawImage(preview, 0, 0, look.width, look.height);
    look.hidden = false;
  }

  #toggle() {
    if (this.source.stream) return this.source.close();
    this.source.open().catch((error) => {
      const trouble = this.source.name === "screen" ? explainScreen(error) : explain(error, "camera");
      if (trouble) this.#trouble(trouble);
    });
  }

  #show() {
    const { stream, track, asking, name } = this.source;
    // While it is being opened, what is shown stays.
    if (asking || this.preview.srcObject === stream) return this.#showButton();
    this.#call?.replaceTrack(name, track).catch((error) => {
      this.source.close();
      this.#trouble({ title: `The ${WORDS[name].noun} cannot be sent`, detail: String(error) });
    });
    this.tile.hidden = !stream;
    this.#showButton();
    this.preview.srcObject = stream;
    // Fails only if the page is going away or another stream has replaced this one.
    if (stream) this.preview.play().catch(() => undefined);
    this.#seen = null;
    this.look.hidden = true;
    this.#showSeen();
    clearInterval(this.#timer);
    if (stream) this.#timer = setInterval(() => this.#showSeen(), 1000);
  }

  #showButton() {
    const { asking, name } = this.source;
    const on = !this.tile.hidden;
    const refused = this.#call !== null && !this.#call.carries(name);
    const words = WORDS[name];
    this.button.disabled = !this.#call || refused;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.setAttribute("aria-busy", String(asking));
    this.button.toggleAttribute("data-refused", refused);
    if (refused) this.button.title = `This agent does not look at your ${words.noun}`;
    else if (!this.#call) this.button.title = `${words.start.replace(/ \(.\)$/, "")} (in a call only)`;
    else this.button.title = on ? words.stop : words.start;
  }

  #showSeen() {
    const words = seenWords(this.#seen, performance.now());
    if (this.caption.textContent === words) return;
    // In a narrow tile the line breaks after the first comma, not within the size or the age.
    const comma = words.indexOf(", ") + 1 || words.length;
    const [size, rest] = [words.slice(0, comma), words.slice(comma + 1)];
    this.caption.replaceChildren(make("span", {}, size), ...(rest ? [" ", make("span", {}, rest)] : []));
  }

  /** Gives the tile the picture's shape, within bounds: the caption needs some width. */
  #fit() {
    const { videoWidth, videoHeight } = this.preview;
    if (!videoWidth || !videoHeight) return;
    this.tile.style.setProperty("--ratio", Math.min(1.9, Math.max(1.25, videoWidth / videoHeight)).toFixed(3));
  }

  /** @param {Trouble} trouble */
  #trouble(trouble) {
    emit(this, "trouble", trouble);
  }
}

/**
 * @param {Seen | null} seen
 * @param {number} nowMs
 * @returns {string} such as "Agent sees: 640×480, 14 KB, 2 s ago"
 */
export function seenWords(seen, nowMs) {
  if (!seen) return "Agent has not looked yet";
  const ageS = Math.round((nowMs - seen.atMs) / 1000);
  // At a picture a second, counting 0, 1, 0, 1 would only flicker.
  const age = ageS < 2 ? "now" : ageS < 90 ? `${ageS} s ago` : `${Math.round(ageS / 60)} min ago`;
  const size = seen.bytes < 1000 ? `${seen.bytes} B` : `${Math.round(seen.bytes / 1000)} KB`;
  return `Agent sees: ${seen.width}×${seen.height}, ${size}, ${age}`;
}
