/** Starts and ends calls, one at a time. The microphone is opened before a call and closed after it. */

import { Call } from "./call.js";
import { explain } from "./device-errors.js";
import { emit, listen } from "./dom.js";
import { Problem } from "./http.js";

/** @typedef {import("./call.js").StateChange} StateChange */

/**
 * Events: `state` of the call, also before it starts and if it cannot (the `reason` is then "no_microphone");
 * `begin` before the first message of a call; `message`, `stream` and `log` as `Call` has them; `unauthorised` if the
 * service wants another key; `trouble` {title, detail}.
 */
export class Calling extends EventTarget {
  /** The newest call, which may be over. @type {Call | null} */
  call = null;
  #microphone;
  /** True while the browser asks for the microphone. */
  #asking = false;
  /** Counts the attempts to call and to give that up: what the browser answers to an older one is too late. */
  #attempt = 0;
  /** False in a call without a microphone: plugging one in must not make the browser ask for it. */
  #wantsMicrophone = true;

  /** @param {import("./microphone.js").Microphone} microphone */
  constructor(microphone) {
    super();
    this.#microphone = microphone;
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#openAgain());
  }

  /** True from the offer to the end of the call. */
  get up() {
    return this.call !== null && !this.call.over;
  }

  /** Does nothing while there is a call, or about to be one. */
  async start(withMicrophone = true) {
    if (this.#asking || this.up) return;
    this.#wantsMicrophone = withMicrophone;
    const title = withMicrophone ? "Allow the microphone if the browser asks." : "";
    this.#tell({ state: "connecting", reason: "", title, detail: "" });
    if (withMicrophone && !(await this.#open())) return;
    const call = (this.call = new Call());
    emit(this, "begin");
    listen(call, "state", (change) => this.#tell(change));
    for (const name of ["message", "stream", "log"]) listen(call, name, (detail) => emit(this, name, detail));
    try {
      await call.start({ microphone: this.#microphone.track });
    } catch (error) {
      if (error instanceof Problem && error.status === 401) emit(this, "unauthorised");
    }
  }

  /** @returns {Promise<boolean>} false if there is nothing to go on with: refused, or hung up meanwhile */
  async #open() {
    const attempt = ++this.#attempt;
    this.#asking = true;
    try {
      await this.#microphone.open();
    } catch (error) {
      if (attempt !== this.#attempt) return false;
      this.#asking = false;
      this.#tell({ state: "failed", reason: "no_microphone", ...explain(error) });
      return false;
    }
    if (attempt === this.#attempt) this.#asking = false;
    else if (!this.#asking && !this.up) this.#microphone.close(); // nobody wants it any more
    return attempt === this.#attempt;
  }

  hangUp() {
    if (this.up) return this.call?.hangUp();
    if (!this.#asking) return;
    this.#asking = false;
    this.#attempt++;
    this.#tell({ state: "ended", reason: "hung_up", title: "You hung up", detail: "" });
  }

  /** @param {StateChange} change */
  #tell(change) {
    emit(this, "state", change);
    if (change.state === "ended" || change.state === "failed") this.#microphone.close();
  }

  /** The only microphone was unplugged, and here is another. */
  async #openAgain() {
    if (!this.#wantsMicrophone || !this.up || this.#microphone.stream) return;
    await this.#microphone.open().catch((error) => emit(this, "trouble", explain(error)));
  }
}
