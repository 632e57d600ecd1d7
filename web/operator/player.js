/** Plays both sides of a call at once, and draws their waveform. */

import { emit, make } from "../dom.js";
import { clock } from "./format.js";
import { decodedSides } from "./tracks.js";

const NAMES = ["Caller", "Agent"];
const COLOURS = ["--accent", "--speak"];
const LANE_PX = 44;
const SPEEDS = [1, 1.25, 1.5, 2];

/** Event: `moved` with the position in milliseconds. */
export class Player extends EventTarget {
  element = make("div", { class: "player", role: "group", "aria-label": "Recording" });
  #canvas = make("canvas", { class: "wave", "aria-hidden": "true" });
  #needle = make("div", { class: "needle", "aria-hidden": "true" });
  #play = make("button", { class: "button primary", type: "button" }, "Play");
  #seek = make("input", { type: "range", min: "0", step: "0.1", value: "0", "aria-label": "Position" });
  #time = make("span", { class: "figure quiet" });
  #speed = make("select", { class: "small", "aria-label": "Speed" }, ...SPEEDS.map((speed) => make("option", { value: String(speed) }, `${speed}×`)));
  /** @type {Float32Array[]} */
  #samples;
  #rateHz;
  #lengthS;
  #length; // as it is shown
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {GainNode[]} */
  #gains = [];
  /** @type {AudioBufferSourceNode[]} */
  #sources = [];
  #fromS = 0;
  #startedAt = 0;
  #frame = 0;

  /** @param {Float32Array[]} samples one or two sides @param {number} rateHz */
  constructor(samples, rateHz) {
    super();
    this.#samples = samples;
    this.#rateHz = rateHz;
    this.#lengthS = Math.max(...samples.map((side) => side.length)) / rateHz;
    this.#length = clock(Math.round(this.#lengthS) * 1000);
    this.#seek.max = String(this.#lengthS);
    const names = samples.length > 1 ? NAMES : ["Both"];
    const mutes = names.map((name, side) => {
      const box = make("input", { type: "checkbox", checked: "" });
      box.addEventListener("change", () => this.#mute(side, !box.checked));
      return make("label", { class: "check small", "data-side": String(side) }, box, name);
    });
    const wave = make("div", { class: "wave-box" }, this.#canvas, this.#needle);
    this.element.append(wave, this.#seek, make("div", { class: "player-controls" }, this.#play, this.#time, ...mutes, this.#speed));
    this.#play.addEventListener("click", () => void this.toggle());
    this.#seek.addEventListener("input", () => this.seek(Number(this.#seek.value) * 1000));
    this.#speed.addEventListener("change", () => this.#again());
    wave.addEventListener("click", (event) => {
      const box = wave.getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.#lengthS * 1000);
    });
    new ResizeObserver(() => this.#draw()).observe(wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    this.#show();
  }

  get #playing() {
    return this.#sources.length > 0;
  }

  get positionMs() {
    const passed = this.#playing && this.#context ? (this.#context.currentTime - this.#startedAt) * Number(this.#speed.value) : 0;
    return Math.min(this.#lengthS, this.#fromS + passed) * 1000;
  }

  async toggle() {
    if (this.#playing) return this.pause();
    if (!this.#context) this.#connect();
    await this.#context?.resume();
    if (this.#fromS >= this.#lengthS - 0.05) this.#fromS = 0;
    this.#begin();
  }

  pause() {
    this.#fromS = this.positionMs / 1000;
    for (const source of this.#sources) source.stop();
    this.#sources = [];
    cancelAnimationFrame(this.#frame);
    this.#show();
  }

  /** @param {number} ms */
  seek(ms) {
    const playing = this.#playing;
    if (playing) this.pause();
    this.#fromS = Math.min(Math.max(0, ms / 1000), this.#lengthS);
    if (playing) this.#begin();
    this.#show();
  }

  close() {
    if (this.#playing) this.pause();
    void this.#context?.close();
    this.#samples = [];
  }

  #connect() {
    const context = (this.#context = new AudioContext());
    this.#gains = this.#samples.map((_, side) => {
      const gain = context.createGain();
      const pan = context.createStereoPanner(); // the caller a little to the left, the agent to the right
      pan.pan.value = this.#samples.length > 1 ? (side === 0 ? -0.35 : 0.35) : 0;
      gain.connect(pan).connect(context.destination);
      return gain;
    });
    this.element.querySelectorAll("[data-side] input").forEach((box, side) => {
      if (box instanceof HTMLInputElement) this.#mute(side, !box.checked);
    });
  }

  #begin() {
    const context = this.#context;
    if (!context) return;
    this.#sources = this.#samples.map((samples, side) => {
      const buffer = context.createBuffer(1, samples.length, this.#rateHz);
      buffer.copyToChannel(/** @type {Float32Array<ArrayBuffer>} */ (samples), 0);
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.playbackRate.value = Number(this.#speed.value);
      source.connect(this.#gains[side]);
      return source;
    });
    this.#startedAt = context.currentTime + 0.02; // the same instant for both: they stay together
    for (const source of this.#sources) source.start(this.#startedAt, this.#fromS);
    this.#follow();
  }

  #again() {
    if (!this.#playing) return;
    const at = this.positionMs;
    this.pause();
    this.#fromS = at / 1000;
    this.#begin();
  }

  #follow() {
    this.#show();
    if (this.positionMs >= this.#lengthS * 1000) return this.pause();
    this.#frame = requestAnimationFrame(() => this.#follow());
  }

  /** @param {number} side @param {boolean} muted */
  #mute(side, muted) {
    const gain = this.#gains[side];
    if (gain) gain.gain.value = muted ? 0 : 1;
  }

  #show() {
    const at = this.positionMs;
    this.#play.textContent = this.#playing ? "Pause" : "Play";
    this.#time.textContent = `${clock(at)} / ${this.#length}`;
    this.#seek.value = String(at / 1000);
    this.#seek.setAttribute("aria-valuetext", `${clock(at)} of ${this.#length}`);
    this.#needle.style.left = `${this.#lengthS ? (100 * at) / (this.#lengthS * 1000) : 0}%`;
    emit(this, "moved", at);
  }

  #draw() {
    const [width, height] = [this.#canvas.clientWidth, LANE_PX * this.#samples.length];
    const scale = devicePixelRatio;
    if (!width || !height) return;
    [this.#canvas.width, this.#canvas.height] = [width * scale, height * scale];
    this.#canvas.style.height = `${height}px`;
    const pen = this.#canvas.getContext("2d");
    if (!pen) return;
    pen.scale(scale, scale);
    this.#samples.forEach((samples, side) => {
      pen.fillStyle = getComputedStyle(this.element).getPropertyValue(`--wave-${COLOURS[side].slice(2)}`) || "#888";
      const middle = LANE_PX * (side + 0.5);
      const perPixel = (this.#lengthS * this.#rateHz) / width;
      for (let x = 0; x < width; x += 1) {
        const top = peak(samples, Math.floor(x * perPixel), Math.floor((x + 1) * perPixel)) * (LANE_PX / 2 - 2);
        pen.fillRect(x, middle - Math.max(0.5, top), 1, Math.max(1, 2 * top));
      }
    });
  }
}

/** Returns the loudest of some samples, as the ear has it: its square root. @param {Float32Array} samples @param {number} from @param {number} to */
function peak(samples, from, to) {
  let loudest = 0;
  const step = Math.max(1, Math.floor((to - from) / 400));
  for (let i = from; i < to && i < samples.length; i += step) loudest = Math.max(loudest, Math.abs(samples[i]));
  return Math.sqrt(Math.min(1, loudest));
}

/**
 * @param {Uint8Array} file
 * @param {number} durationMs
 */
export async function playerOf(file, durationMs) {
  const found = await decodedSides(file, durationMs);
  return new Player(found, found.rateHz ?? 48_000);
}
