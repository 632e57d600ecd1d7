/** Shows how long the call has lasted and how good the connection is, and keeps the screen on meanwhile. */

import { byId } from "./dom.js";
import { clockWords } from "./state.js";
import { summarise } from "./stats.js";

const FIGURES = ["answer", "rtt", "loss", "jitter"];

export class CallClock {
  #time = byId("call-time", HTMLElement);
  #sinceMs = 0;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {import("./stats.js").Figures | null} */
  #last = null;
  /** @type {WakeLockSentinel | null} A phone that turns its screen off freezes the page. */
  #screen = null;

  constructor() {
    // The browser releases the lock whenever the page is hidden.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.running) void this.#keepScreenOn();
    });
  }

  get running() {
    return this.#timer !== undefined;
  }

  get words() {
    return clockWords((performance.now() - this.#sinceMs) / 1000);
  }

  /** @param {RTCPeerConnection} pc another one after a reconnection, while the clock runs */
  start(pc) {
    if (pc !== this.#pc) this.#last = null; // its counters begin anew
    this.#pc = pc;
    if (this.running) return;
    this.#sinceMs = performance.now();
    for (const name of FIGURES) this.figure(name, null, "");
    this.#time.textContent = this.words;
    this.#time.hidden = false;
    this.#timer = setInterval(() => void this.#tick(), 1000);
    void this.#keepScreenOn();
  }

  /** The figures stay on display. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#time.hidden = true;
    void this.#screen?.release();
    this.#screen = null;
  }

  async #tick() {
    this.#time.textContent = this.words;
    const pc = this.#pc;
    const reports = await pc?.getStats();
    if (!this.running || !reports || pc !== this.#pc) return;
    this.#last = summarise(reports.values(), this.#last);
    this.figure("rtt", this.#last.rttMs, "ms");
    this.figure("loss", this.#last.lossPercent, "%");
    this.figure("jitter", this.#last.jitterMs, "ms");
  }

  /**
   * @param {string} name
   * @param {number | null} value
   * @param {"ms" | "%" | ""} unit
   */
  figure(name, value, unit) {
    const digits = unit === "%" && value !== null && value > 0 && value < 9.95 ? 1 : 0;
    byId(`figure-${name}`, HTMLElement).textContent = value === null ? "–" : `${value.toFixed(digits)} ${unit}`;
  }

  async #keepScreenOn() {
    const lock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
    if (this.running) this.#screen = lock;
    else void lock?.release();
  }
}
