/** The microphone's controls: mute, the level, and a check of the level outside a call. */

import { explain } from "./device-errors.js";
import { byId, emit } from "./dom.js";
import { Meter, restMeters, wakeMeters } from "./meter.js";

const SPOKEN_LEVEL_MS = 250;

/** Events: `check` when a check begins; `trouble` {title, detail}. */
export class MicrophoneControls extends EventTarget {
  #microphone;
  #meter = new Meter();
  #spokenMs = 0;
  #mute = byId("mute", HTMLButtonElement);
  #check = byId("mic-check", HTMLButtonElement);
  #level = byId("mic-meter", HTMLElement);
  #words = byId("mic-words", HTMLElement);

  /** @param {import("./microphone.js").Microphone} microphone */
  constructor(microphone) {
    super();
    this.#microphone = microphone;
    microphone.addEventListener("change", () => this.#show());
    this.#mute.addEventListener("click", () => (microphone.muted = !microphone.muted));
    this.#check.addEventListener("click", () => void this.#toggleCheck());
  }

  /** @param {boolean} usable a call shows the level anyway */
  offerCheck(usable) {
    this.#check.hidden = !usable;
  }

  /**
   * @param {number} nowMs
   * @returns {number} the level that is shown now: 0 to 1
   */
  drawLevel(nowMs) {
    const level = this.#meter.read();
    this.#level.style.setProperty("--level", level.toFixed(3));
    if (nowMs - this.#spokenMs > SPOKEN_LEVEL_MS) {
      this.#spokenMs = nowMs;
      this.#level.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    }
    return level;
  }

  #show() {
    const { stream, muted } = this.#microphone;
    this.#meter.attach(stream);
    this.#mute.disabled = !stream;
    this.#mute.setAttribute("aria-pressed", String(muted));
    this.#mute.title = muted ? "Unmute (m)" : "Mute (m)";
    this.#check.textContent = stream ? "Stop" : "Check";
    this.#words.textContent = !stream ? "Off" : muted ? "Muted" : "On";
  }

  async #toggleCheck() {
    if (this.#microphone.stream) {
      this.#microphone.close();
      return restMeters();
    }
    emit(this, "check");
    wakeMeters();
    await this.#microphone.open().catch((error) => emit(this, "trouble", explain(error)));
  }
}
