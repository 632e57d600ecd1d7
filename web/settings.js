/** The settings dialog: which devices to use, and how the page looks. The choices are kept in the browser. */

import { explain } from "./device-errors.js";
import { byId, emit } from "./dom.js";
import { key } from "./http.js";
import { Store } from "./store.js";

/** Event: `trouble` {title, detail} when the device that was chosen cannot be opened. */
export class Settings extends EventTarget {
  #choices = new Store(() => localStorage);
  #dialog = byId("settings", HTMLDialogElement);
  #microphones = byId("mic-picker", HTMLSelectElement);
  #cameras = byId("camera-picker", HTMLSelectElement);
  #speakers = byId("speaker-picker", HTMLSelectElement);
  #forgetKey = byId("forget-key", HTMLButtonElement);
  #microphone;
  #camera;
  #voice;

  /**
   * @param {import("./microphone.js").Microphone} microphone
   * @param {import("./video.js").VideoSource} camera
   * @param {import("./voice.js").AgentVoice} voice
   */
  constructor(microphone, camera, voice) {
    super();
    this.#microphone = microphone;
    this.#camera = camera;
    this.#voice = voice;
    this.#prepareDialog();
    this.#prepareDevices();
    this.#prepareAppearance();
    void this.#refreshDevices();
  }

  #prepareDialog() {
    byId("open-settings", HTMLButtonElement).addEventListener("click", () => {
      this.#forgetKey.hidden = !key.get();
      void this.#refreshDevices();
      this.#dialog.showModal();
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // on the backdrop
    });
    this.#forgetKey.addEventListener("click", () => {
      key.forget();
      this.#forgetKey.hidden = true;
    });
  }

  #prepareDevices() {
    const processing = byId("processing", HTMLInputElement);
    this.#microphone.deviceId = this.#choices.get("microphone");
    this.#camera.deviceId = this.#choices.get("camera");
    this.#microphone.processing = processing.checked = this.#choices.get("processing") !== "off";
    byId("speaker-row", HTMLElement).hidden = !this.#voice.canChooseSpeakers;

    this.#microphones.addEventListener("change", () => {
      this.#microphone.deviceId = this.#choices.set("microphone", this.#microphones.value);
      this.#reopenMicrophone();
    });
    processing.addEventListener("change", () => {
      this.#choices.set("processing", processing.checked ? "" : "off");
      this.#microphone.processing = processing.checked;
      this.#reopenMicrophone();
    });
    this.#cameras.addEventListener("change", () => {
      this.#camera.deviceId = this.#choices.set("camera", this.#cameras.value);
      this.#camera.reopen().catch((error) => emit(this, "trouble", explain(error, "camera")));
    });
    this.#speakers.addEventListener("change", () => {
      this.#choices.set("speaker", this.#speakers.value);
      void this.#voice.chooseSpeakers(this.#speakers.value);
    });
    // The names of devices, and more devices, are known once one was allowed.
    this.#microphone.addEventListener("change", () => void this.#refreshDevices());
    this.#camera.addEventListener("change", () => void this.#refreshDevices());
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#refreshDevices());
  }

  #prepareAppearance() {
    const scheme = byId("scheme", HTMLSelectElement);
    scheme.value = document.documentElement.dataset.scheme = this.#choices.get("scheme");
    scheme.addEventListener("change", () => {
      document.documentElement.dataset.scheme = this.#choices.set("scheme", scheme.value);
    });
  }

  #reopenMicrophone() {
    this.#microphone.reopen().catch((error) => emit(this, "trouble", explain(error)));
  }

  async #refreshDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    fill(this.#microphones, devices, "audioinput", this.#microphone.deviceId, "Microphone");
    fill(this.#cameras, devices, "videoinput", this.#camera.deviceId, "Camera");
    const before = this.#speakers.value;
    fill(this.#speakers, devices, "audiooutput", this.#choices.get("speaker"), "Speakers");
    if (this.#speakers.value !== before) await this.#voice.chooseSpeakers(this.#speakers.value);
  }
}

/**
 * Fills a picker; what was chosen stays so if it still exists.
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {MediaDeviceKind} kind
 * @param {string} chosen
 * @param {string} noun what a device without a name is called; browsers hide names until the microphone was allowed
 */
function fill(select, devices, kind, chosen, noun) {
  const options = [new Option("System default", "")];
  for (const device of devices) {
    if (device.kind !== kind || !device.deviceId || device.deviceId === "default") continue;
    options.push(new Option(device.label || `${noun} ${options.length}`, device.deviceId));
  }
  select.replaceChildren(...options);
  select.value = options.some(({ value }) => value === chosen) ? chosen : "";
}
