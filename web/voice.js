/** The agent's voice: played, measured, and sent to the speakers that the caller chose. */

import { byId } from "./dom.js";
import { Meter, wakeMeters } from "./meter.js";

export class AgentVoice {
  meter = new Meter();
  #audio = byId("agent-audio", HTMLAudioElement);
  #hear = byId("hear", HTMLButtonElement);

  constructor() {
    this.#hear.addEventListener("click", () => {
      wakeMeters();
      if (this.#audio.srcObject instanceof MediaStream) void this.play(this.#audio.srcObject);
    });
  }

  /** @param {MediaStream} stream */
  async play(stream) {
    this.#audio.srcObject = stream;
    this.meter.attach(stream);
    try {
      await this.#audio.play();
      this.#hear.hidden = true;
    } catch (error) {
      // The browser wants a click first. Any other error means that a newer stream took over.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#hear.hidden = false;
    }
  }

  stop() {
    this.#audio.srcObject = null;
    this.#hear.hidden = true;
    this.meter.attach(null);
  }

  /** False where the browser leaves the choice to the system. */
  get canChooseSpeakers() {
    return "setSinkId" in this.#audio;
  }

  /** @param {string} deviceId "" is the system's choice, which is also taken if the device is gone */
  async chooseSpeakers(deviceId) {
    if (this.canChooseSpeakers) await this.#audio.setSinkId(deviceId).catch(() => this.#audio.setSinkId(""));
  }
}
