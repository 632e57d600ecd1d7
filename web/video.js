/** Captures camera or screen, no faster than the agent looks at them. */

/** @typedef {"camera" | "screen"} SourceName */

/** The agent is shown one picture a second; twice as many keep it fresh. */
export const MAX_FPS = 2;
/** Longest side of a shared screen: text stays readable, and a 4K screen does not cost four times as much. */
const SCREEN_SIDE = 1920;

/**
 * Events: `change` after the stream was opened, replaced or closed, and when the browser begins or stops asking for it;
 * `lost` after it ended by itself: unplugged, permission withdrawn, or stopped in the browser's own bar.
 */
export class VideoSource extends EventTarget {
  /** @type {MediaStream | null} */
  stream = null;
  /** The camera to use; "" is the system's choice. */
  deviceId = "";
  /** True while the browser asks the caller. */
  asking = false;
  /** Counts openings and closings: a stream that arrives after a later one is no longer wanted. */
  #turn = 0;

  /** @param {SourceName} name */
  constructor(name) {
    super();
    this.name = name;
  }

  get track() {
    return this.stream?.getVideoTracks()[0] ?? null;
  }

  /** Opens it, unless it is open or being asked for. */
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

  /** Opens it again with the present `deviceId`. Does nothing if it is closed. */
  async reopen() {
    const old = this.stream;
    if (!old) return;
    // Some systems let a camera be opened only once, so the old stream is stopped first.
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
    // A screen is mostly text: sharp matters more than smooth.
    if (this.name === "screen") track.contentHint = "detail";
    track.addEventListener("ended", () => {
      if (this.stream !== stream) return;
      // No other camera replaces it: what to show is for the caller to decide.
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
 * What to ask for, best first. Not every camera can capture as slowly as we like (the sender then drops frames), and
 * the chosen one may have been unplugged (any is better than none).
 * @param {string} deviceId
 * @returns {MediaTrackConstraints[]}
 */
function cameraWishes(deviceId) {
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
