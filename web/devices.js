/** Microphone and speakers: opening and choosing; and saying what is wrong with any device. */

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
  #passing = true;
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
    this.#enable();
    this.#changed();
  }

  /** False while what is said is not meant for the agent; muting counts as ever. */
  set passing(/** @type {boolean} */ value) {
    this.#passing = value;
    this.#enable();
  }

  #enable() {
    if (this.track) this.track.enabled = this.#passing && !this.#muted;
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
      this.#enable();
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
 * @param {"microphone" | "camera"} device
 * @returns {Trouble}
 */
export function explain(error, device = "microphone") {
  const name = error instanceof DOMException ? error.name : "";
  const setting = device === "camera" ? "Camera" : "Microphone";
  const again = device === "camera" ? "press Camera again" : "call again";
  switch (name) {
    case "NotAllowedError":
      return {
        title: `The ${device} is blocked`,
        detail: `Allow it for this page: open the site settings beside the address, set ${setting} to Allow, and ${again}.`,
      };
    case "NotFoundError":
      return {
        title: `No ${device} found`,
        detail: device === "camera" ? `Plug one in, and ${again}.` : "Plug one in, or call without one and type.",
      };
    case "NotReadableError":
    case "AbortError":
      return { title: `The ${device} is busy`, detail: `Another program may be using it. Close that program and ${again}.` };
    case "SecurityError":
      return {
        title: `The ${device} needs a secure page`,
        detail: "Browsers give it only to pages on https:// or localhost. Open this service under such an address.",
      };
    default:
      return { title: `The ${device} could not be opened`, detail: wordsOf(error) };
  }
}

/**
 * @param {unknown} error what getDisplayMedia threw
 * @returns {Trouble | null} null if the caller closed the browser's dialog: nothing is wrong
 */
export function explainScreen(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" && /by user|dismissed/i.test(wordsOf(error))) return null; // as Chromium says it
  switch (name) {
    case "NotAllowedError":
      return {
        title: "Your screen is not shared",
        detail: "Press Screen again and pick what to share. If the browser shows nothing to pick, it is blocked: allow "
          + "screen sharing in the site settings beside the address and, on a Mac, screen recording for this browser in "
          + "System Settings under Privacy & Security.",
      };
    case "NotFoundError":
      return { title: "No screen found", detail: "The browser finds nothing that it could share." };
    case "NotReadableError":
    case "AbortError":
      return { title: "The screen could not be captured", detail: "The system refused it. Try another window, or a browser tab." };
    default:
      return { title: "The screen could not be shared", detail: wordsOf(error) };
  }
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}
