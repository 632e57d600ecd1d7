/** Camera and screen: captured at the pace at which the agent looks at them. */

/** @typedef {"camera" | "screen"} SourceName */

/** The agent is shown a picture a second; a second one in reserve keeps that fresh. */
export const MAX_FPS = 2;
/** Longest side of a shared screen: text stays readable, and a 4K desktop does not cost four times as much. */
const SCREEN_SIDE = 1920;

/**
 * Events: `change` after the stream was opened, replaced or closed, and when the browser begins or ends asking;
 * `lost` after it ended by itself: unplugged, taken back, or stopped in the browser's own bar.
 */
export class VideoSource extends EventTarget {
  /** @type {MediaStream | null} */
  stream = null;
  /** Of the camera; "" is the system's choice. */
  deviceId = "";
  /** True while the browser asks the caller. */
  asking = false;
  /** Counts openings and closings: a stream that comes after a later one of them is not wanted any more. */
  #turn = 0;

  /** @param {SourceName} name */
  constructor(name) {
    super();
    this.name = name;
  }

  get track() {
    return this.stream?.getVideoTracks()[0] ?? null;
  }

  /** Opens it unless it is open or being asked for. */
  async open() {
    if (this.stream || this.asking) return;
    const turn = ++this.#turn;
    this.asking = true;
    this.#changed();
    try {
      const stream = await this.#capture();
      // Hung up while the browser was asking.
      if (turn !== this.#turn) return stop(stream);
      this.#use(stream);
    } catch (error) {
      if (turn === this.#turn) throw error;
    } finally {
      if (turn === this.#turn) {
        this.asking = false;
        this.#changed();
      }
    }
  }

  /** Opens it again, as `deviceId` now says. Does nothing if it is closed. */
  async reopen() {
    const old = this.stream;
    if (!old) return;
    // Some systems open a camera only once, so the old one is let go first.
    this.stream = null;
    stop(old);
    await this.open();
  }

  close() {
    if (!this.stream && !this.asking) return;
    const old = this.stream;
    this.#turn++;
    this.stream = null;
    this.asking = false;
    if (old) stop(old);
    this.#changed();
  }

  /** @param {MediaStream} stream */
  #use(stream) {
    this.stream = stream;
    const { track } = this;
    if (!track) return;
    // A screen is mostly words: better sharp than smooth.
    if (this.name === "screen") track.contentHint = "detail";
    track.addEventListener("ended", () => {
      if (this.stream !== stream) return;
      // No other camera takes its place: which one shows what is the caller's to say.
      this.close();
      this.dispatchEvent(new Event("lost"));
    });
  }

  async #capture() {
    if (!navigator.mediaDevices) throw new DOMException("no media devices", "SecurityError");
    if (this.name === "screen") {
      return navigator.mediaDevices.getDisplayMedia({
        video: { frameRate: { max: MAX_FPS }, width: { max: SCREEN_SIDE }, height: { max: SCREEN_SIDE } },
        audio: false,
      });
    }
    let refusal;
    for (const video of cameraWishes(this.deviceId)) {
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ video });
        if (!video.deviceId) this.deviceId = "";
        return stream;
      } catch (error) {
        if (!(error instanceof Error) || error.name !== "OverconstrainedError") throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * What to ask of a camera, best first. Not every one can go as slowly as we like (the sender drops the rest), and
 * the chosen one may be unplugged since (any is better than none).
 * @param {string} deviceId
 * @returns {MediaTrackConstraints[]}
 */
export function cameraWishes(deviceId) {
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  const slow = { ...size, frameRate: { ideal: MAX_FPS, max: MAX_FPS } };
  const any = { ...size, frameRate: { ideal: MAX_FPS } };
  const chosen = { deviceId: { exact: deviceId } };
  return deviceId ? [{ ...slow, ...chosen }, { ...any, ...chosen }, slow, any] : [slow, any];
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
