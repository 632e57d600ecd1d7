/** Microphone and speakers: opening, choosing, and saying what is wrong. */

/** @typedef {{title: string, detail: string}} Trouble */

/** Events: `change` after the stream was opened, replaced, lost or closed, and after muting. */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} */
  stream = null;
  /** "" is the system's choice. */
  deviceId = "";
  /** Echo cancellation, noise suppression and level control of the browser. */
  processing = true;
  #muted = false;
  /** @type {Promise<MediaStream> | null} */
  #opening = null;

  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  get muted() {
    return this.#muted;
  }

  set muted(value) {
    this.#muted = value;
    if (this.track) this.track.enabled = !value;
    this.#changed();
  }

  /** Opens it unless it is open. */
  async open() {
    if (this.stream) return this.stream;
    if (!navigator.mediaDevices) throw new DOMException("no media devices", "SecurityError");
    this.#opening ??= navigator.mediaDevices
      .getUserMedia({ audio: this.#wish() })
      // The chosen one may be unplugged since: any is better than none.
      .catch((error) => {
        if (error.name !== "OverconstrainedError" || !this.deviceId) throw error;
        this.deviceId = "";
        return navigator.mediaDevices.getUserMedia({ audio: this.#wish() });
      })
      .finally(() => (this.#opening = null));
    const stream = await this.#opening;
    this.stream = stream;
    if (this.track) {
      this.track.enabled = !this.#muted;
      // Unplugged, or taken back by the caller: go on with another one if there is one.
      this.track.addEventListener("ended", () => {
        if (this.stream === stream) this.reopen().catch(() => this.close());
      });
    }
    this.#changed();
    return stream;
  }

  /** Opens it again, as `deviceId` and `processing` now say. Does nothing if it is closed. */
  async reopen() {
    const old = this.stream;
    if (!old) return;
    // Some systems open a microphone only once, so the old one is let go first.
    this.stream = null;
    stop(old);
    try {
      await this.open();
    } catch (error) {
      this.#changed();
      throw error;
    }
  }

  close() {
    const old = this.stream;
    this.stream = null;
    if (old) stop(old);
    this.#changed();
  }

  /** @returns {MediaTrackConstraints} */
  #wish() {
    return {
      echoCancellation: this.processing,
      noiseSuppression: this.processing,
      autoGainControl: this.processing,
      ...(this.deviceId ? { deviceId: { exact: this.deviceId } } : {}),
    };
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/**
 * Fills a picker, keeping its choice where that still exists.
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {string} chosen
 * @param {string} noun what an unnamed one is called; browsers hide names until the microphone was allowed
 */
export function fillPicker(select, devices, chosen, noun) {
  const options = [new Option("System default", "")];
  for (const { deviceId, label } of devices) {
    if (deviceId && deviceId !== "default") options.push(new Option(label || `${noun} ${options.length}`, deviceId));
  }
  select.replaceChildren(...options);
  select.value = options.some((option) => option.value === chosen) ? chosen : "";
}

/**
 * @param {unknown} error what getUserMedia threw
 * @returns {Trouble}
 */
export function explain(error) {
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
      return {
        title: "The microphone is blocked",
        detail: "Allow it for this page: open the site settings beside the address, set Microphone to Allow, and call again.",
      };
    case "NotFoundError":
      return { title: "No microphone found", detail: "Plug one in, or call without one and type." };
    case "NotReadableError":
    case "AbortError":
      return { title: "The microphone is busy", detail: "Another program may be using it. Close that program and call again." };
    case "SecurityError":
      return {
        title: "The microphone needs a secure page",
        detail: "Browsers give it only to pages on https:// or localhost. Open this service under such an address.",
      };
    default:
      return { title: "The microphone could not be opened", detail: error instanceof Error ? error.message : String(error) };
  }
}
