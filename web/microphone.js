/** The microphone: opened, muted, and opened again when it is lost or another one is chosen. */

/** Events: `change` after the stream was opened, replaced, lost or closed, and after muting. */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} */
  stream = null;
  /** "" is the system's choice. */
  deviceId = "";
  /** The browser's echo cancellation, noise suppression and gain control. */
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

  /** False while the caller does not talk to the agent (push-to-talk). Muting is independent of it. */
  set passing(/** @type {boolean} */ value) {
    this.#passing = value;
    this.#enable();
  }

  #enable() {
    if (this.track) this.track.enabled = this.#passing && !this.#muted;
  }

  /** Opens it, unless it is open. */
  async open() {
    if (this.stream) return this.stream;
    if (!navigator.mediaDevices) throw new DOMException("no media devices", "SecurityError");
    this.#opening ??= navigator.mediaDevices
      .getUserMedia({ audio: this.#wish() })
      // The chosen one may have been unplugged: any is better than none.
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
      // Unplugged, or the permission was withdrawn: go on with another one if there is one.
      this.track.addEventListener("ended", () => {
        if (this.stream === stream) this.reopen().catch(() => this.close());
      });
    }
    this.#changed();
    return stream;
  }

  /** Opens it again with the present `deviceId` and `processing`. Does nothing if it is closed. */
  async reopen() {
    const old = this.stream;
    if (!old) return;
    // Some systems let a microphone be opened only once, so the old stream is stopped first.
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
