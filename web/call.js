/**
 * One call: peer connection, WHIP signalling (RFC 9725) and the data channel. Knows nothing of the page.
 *
 * Events: `state` {state, reason, title, detail}, `message` (an RTVI message), `stream` (the agent's voice), `log`.
 * A call that is `ended` or `failed` is over for good; a new one is a new object.
 */

import { emit } from "./dom.js";
import { Problem, request } from "./http.js";
import { CHANNEL, clientReady, decode, encode, isRecord, text } from "./rtvi.js";
import { fragment } from "./sdpfrag.js";
import { isLimitEnd, isQuietEnd } from "./state.js";
import { MAX_FPS } from "./video.js";

/** @typedef {import("./rtvi.js").Message} Message */
/** @typedef {import("./state.js").CallState} CallState */
/** @typedef {{state: CallState, reason: string, title: string, detail: string}} StateChange */
/** @typedef {{from: "caller" | "service" | "page", type: string, data?: unknown}} LogEntry */

/**
 * The offer's m-lines, each present with or without a track. The service tells them apart by their order, so it is
 * fixed. The bit rates leave room for a key frame a second, the only frames that the agent looks at.
 * @type {{name: string, kind: "audio" | "video", direction: RTCRtpTransceiverDirection, maxBitrate?: number}[]}
 */
const LINES = [
  { name: "microphone", kind: "audio", direction: "sendrecv" },
  { name: "camera", kind: "video", direction: "sendonly", maxBitrate: 400_000 },
  { name: "screen", kind: "video", direction: "sendonly", maxBitrate: 1_500_000 },
];

const TRICKLE_MS = 50;
const READY_TIMEOUT_MS = 20_000;
const FAREWELL_MS = 1500;
const PICTURES_TIMEOUT_S = 60;

export class Call extends EventTarget {
  /** @type {RTCPeerConnection | null} */
  pc = null;
  /** @type {CallState} */
  state = "idle";
  /** The call's address at the service, for trickling and hanging up. @type {URL | null} */
  #url = null;
  #etag = "";
  /** @type {RTCDataChannel | null} */
  #channel = null;
  #ready = false;
  /** @type {import("./sdpfrag.js").Candidate[]} */
  #candidates = [];
  #gathered = false;
  #trickling = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #readyTimer;
  /** @type {StateChange | null} The last thing the service said about the end; shown when the channel closes. */
  #farewell = null;

  get over() {
    return this.state === "ended" || this.state === "failed";
  }

  /**
   * Resolves once the service has accepted the offer. The call is `connected` later, at bot-ready.
   * @param {Record<string, MediaStreamTrack | null>} tracks by the name of their m-line
   * @throws {Problem} the service refused; the state is then `failed`
   */
  async start(tracks) {
    this.#become("connecting", "", "Contacting the service…");
    try {
      await this.#offer(tracks);
    } catch (error) {
      if (this.over) return;
      const problem = error instanceof Problem ? error : new Problem(0, "The call could not be set up", String(error));
      this.#finish("failed", `http_${problem.status}`, problem.title, problem.detail);
      throw problem;
    }
  }

  /** @param {Record<string, MediaStreamTrack | null>} tracks */
  async #offer(tracks) {
    const iceServers = await this.#iceServers();
    if (this.over) return;
    const pc = (this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" }));
    for (const { name, kind, direction } of LINES) {
      const transceiver = pc.addTransceiver(tracks[name] ?? kind, { direction });
      if (kind === "video") withoutSendTime(transceiver);
    }
    pc.addEventListener("track", ({ track }) => this.#emit("stream", new MediaStream([track])));
    pc.addEventListener("connectionstatechange", () => this.#onConnection());
    pc.addEventListener("icecandidate", ({ candidate }) => this.#onCandidate(candidate));
    this.#watch((this.#channel = pc.createDataChannel(CHANNEL, { ordered: true })));
    await pc.setLocalDescription();

    const response = await request("whip", {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: pc.localDescription?.sdp ?? "",
    });
    const location = response.headers.get("Location");
    if (location) this.#url = new URL(location, response.url);
    this.#etag = response.headers.get("ETag") ?? "";
    this.#log("page", "offer-accepted", { status: response.status, location, link: response.headers.get("Link") });
    // Hung up while the offer was on its way: the service has a call by now and must be told.
    if (this.over) return this.#delete();
    await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
    this.#become("connecting", "", "Connecting the audio…");
    this.#readyTimer = setTimeout(() => {
      if (this.state !== "connecting") return;
      const joined = pc.connectionState === "connected";
      this.#finish("failed", joined ? "agent_silent" : "no_route", "The call did not connect", joined
        ? "The service answered, but the agent did not become ready."
        : "The service answered, but no audio path to it was found. A firewall may block UDP.");
    }, READY_TIMEOUT_MS);
    void this.#trickle();
    await this.#limit();
  }

  /** Limits the bit and frame rate of video before any is sent: not every camera can capture as slowly as it is asked to. */
  async #limit() {
    for (const { name, maxBitrate } of LINES) {
      const sender = this.#transceiver(name)?.sender;
      if (!maxBitrate || !sender || !this.carries(name)) continue;
      await limit(sender, maxBitrate).catch((error) => this.#log("page", "limit-refused", `${name}: ${error}`));
    }
  }

  /** @returns {Promise<RTCIceServer[]>} empty if the service offers none */
  async #iceServers() {
    try {
      const body = await (await request("v1/ice-servers", {}, 4)).json();
      return isRecord(body) && Array.isArray(body.iceServers) ? body.iceServers : [];
    } catch (error) {
      this.#log("page", "no-ice-servers", String(error));
      return [];
    }
  }

  // ---- trickle ICE

  /** @param {RTCIceCandidate | null} candidate */
  #onCandidate(candidate) {
    // Firefox ends the candidates of each m-line with an empty string; null ends them all.
    if (candidate === null) this.#gathered = true;
    else if (candidate.candidate) {
      this.#candidates.push({ mid: candidate.sdpMid ?? "0", candidate: candidate.candidate });
    }
    if (this.#url) void this.#trickle();
  }

  /** Sends the candidates gathered so far in batches, one request at a time, until their end has been sent. */
  async #trickle() {
    const pc = this.pc;
    if (this.#trickling || !pc || !this.#url) return;
    this.#trickling = true;
    while (!this.over && (this.#candidates.length || this.#gathered)) {
      await new Promise((wake) => setTimeout(wake, TRICKLE_MS));
      if (this.over) return;
      const complete = this.#gathered;
      const batch = this.#candidates.splice(0);
      try {
        await request(this.#url, {
          method: "PATCH",
          headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": this.#etag },
          body: fragment(pc.localDescription?.sdp ?? "", batch, complete),
        });
        this.#log("page", "candidates-sent", { count: batch.length, complete });
      } catch (error) {
        // Not fatal: the service learns our address from the connectivity checks as well.
        this.#log("page", "candidates-refused", String(error));
      }
      if (complete) return; // and stay "trickling": nothing may follow the end
    }
    this.#trickling = false;
  }

  // ---- the data channel

  /** @param {RTCDataChannel} channel */
  #watch(channel) {
    channel.addEventListener("open", () => {
      this.#become("connecting", "", "Waiting for the agent…");
      this.send(clientReady());
    });
    channel.addEventListener("message", ({ data }) => {
      const message = decode(data);
      if (message && !this.over) this.#onMessage(message);
    });
    channel.addEventListener("close", () => {
      const end = this.#farewell;
      if (end) this.#finish(end.state, end.reason, end.title, end.detail);
      else this.#finish(this.#ready ? "ended" : "failed", "service_left", "The service ended the call", "It gave no reason.");
    });
  }

  /**
   * @param {Message} message
   * @returns {boolean} false if the call cannot carry it now
   */
  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(encode(message));
    this.#log("caller", message.type, message.data);
    return true;
  }

  /**
   * Asks about pictures, which the data channel could not carry.
   * @param {string} content the question
   * @param {Blob[]} pictures
   * @throws {Problem} the service refused them, or there is no call
   */
  async ask(content, pictures) {
    if (!this.#url || this.over) throw new Problem(0, "There is no call", "The pictures were not sent.");
    const form = new FormData();
    form.append("content", content);
    for (const picture of pictures) form.append("pictures", picture, "picture");
    this.#log("caller", "pictures", { content, pictures: pictures.map(({ type, size }) => ({ type, size })) });
    const url = new URL(`${this.#url.pathname}/pictures`, this.#url);
    await request(url, { method: "POST", body: form }, PICTURES_TIMEOUT_S);
  }

  /**
   * Fetches a picture that the model made.
   * @param {number} number
   * @param {string} path what the event says of its address: untrusted, so it is compared and not requested
   * @returns {Promise<Blob>}
   * @throws {Problem} the service has it no longer
   * @throws {Error} the path is wrong, or the call is over
   */
  async picture(number, path) {
    const url = this.#url && new URL(`${this.#url.pathname}/pictures/${number}`, this.#url);
    if (!url || this.over) throw new Error("The call is over.");
    if (!isSamePicture(path, url)) throw new Error("Its address is not that of a picture of this call.");
    return (await request(url, { redirect: "error" }, PICTURES_TIMEOUT_S)).blob();
  }

  /** @param {Message} message */
  #onMessage(message) {
    const { type, data } = message;
    this.#log("service", type, data);
    if (type === "bot-ready") {
      this.#ready = true;
      clearTimeout(this.#readyTimer);
      this.#become("connected");
    }
    this.#emit("message", message);
    if (type === "error" && data.fatal === true) {
      this.#sayFarewell(text(data.reason) || "error", text(data.error));
    } else if (type === "server-message" && data.type === "call-ended") {
      this.#sayFarewell(text(data.reason), text(data.detail));
    }
  }

  /**
   * The service said that the call is over. It closes the channel next; if it does not, we do.
   * @param {string} reason
   * @param {string} detail
   */
  #sayFarewell(reason, detail) {
    const first = this.#farewell === null;
    this.#farewell = {
      state: this.#ready ? "ended" : "failed",
      reason,
      title: this.#ready ? endTitle(reason, detail) : "The call did not connect",
      detail: detail || this.#farewell?.detail || reason,
    };
    if (!first) return;
    setTimeout(() => {
      const end = this.#farewell;
      if (end) this.#finish(end.state, end.reason, end.title, end.detail);
    }, FAREWELL_MS);
  }

  // ---- states and the end

  #onConnection() {
    const to = this.pc?.connectionState;
    this.#log("page", "connection", to);
    if (to === "connected" && this.state === "reconnecting") this.#become("connected");
    else if (to === "disconnected" && this.state === "connected") {
      this.#become("reconnecting", "network", "Waiting for the network to come back…");
    } else if (to === "failed") {
      this.#finish("failed", "lost", this.#ready ? "Connection lost" : "The call did not connect", this.#ready
        ? "The network did not come back. You can call again."
        : "No audio path to the service was found. A firewall may block UDP.");
    }
  }

  /**
   * @param {string} name name of the m-line
   * @param {MediaStreamTrack | null} track replaces the present one without renegotiation
   */
  async replaceTrack(name, track) {
    if (!this.over) await this.#transceiver(name)?.sender.replaceTrack(track);
  }

  /**
   * @param {string} name name of an m-line that we send on
   * @returns {boolean} true once the service has accepted that m-line in its answer
   */
  carries(name) {
    return ["sendonly", "sendrecv"].includes(this.#transceiver(name)?.currentDirection ?? "");
  }

  /** @param {string} name name of the m-line */
  #transceiver(name) {
    return this.pc?.getTransceivers()[LINES.findIndex((one) => one.name === name)];
  }

  hangUp() {
    this.#finish("ended", "hung_up", "You hung up");
  }

  /**
   * @param {CallState} state
   * @param {string} reason
   * @param {string} title
   */
  #finish(state, reason, title, detail = "") {
    if (this.over) return;
    clearTimeout(this.#readyTimer);
    this.#become(state, reason, title, detail);
    this.#delete();
    this.#channel?.close();
    this.pc?.close();
  }

  /** Tells the service. `keepalive` lets the request outlive the page. */
  #delete() {
    if (!this.#url) return;
    request(this.#url, { method: "DELETE", keepalive: true }).catch((error) => {
      this.#log("page", "delete-refused", String(error)); // 404: the service ended the call first
    });
    this.#url = null;
  }

  /** @param {CallState} state */
  #become(state, reason = "", title = "", detail = "") {
    if (this.over) return;
    this.state = state;
    this.#emit("state", { state, reason, title, detail });
    this.#log("page", `call-${state}`, [title, detail].filter(Boolean).join(": ") || undefined);
  }

  /**
   * @param {LogEntry["from"]} from
   * @param {string} type
   * @param {unknown} [data]
   */
  #log(from, type, data) {
    this.#emit("log", { from, type, data });
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #emit(name, detail) {
    emit(this, name, detail);
  }
}

/**
 * @param {string} reason
 * @param {string} detail a sentence of the service
 */
function endTitle(reason, detail) {
  if (isLimitEnd(reason)) return "The call reached a limit";
  return isQuietEnd(reason) && detail ? detail.replace(/\.$/, "") : "The service ended the call";
}

/**
 * @param {string} path
 * @param {URL} url of the picture, by the call's own address: .../{call}/pictures/{number}
 * @returns {boolean} false for another host, call or number; the path before them may have been rewritten by a proxy
 */
function isSamePicture(path, url) {
  if (!path || !URL.canParse(path, url)) return false;
  const named = new URL(path, url);
  const end = url.pathname.split("/").slice(-3).join("/");
  return named.origin === url.origin && !named.search && !named.hash && named.pathname.endsWith(`/${end}`);
}

/**
 * @param {RTCRtpSender} sender of video
 * @param {number} maxBitrate
 */
async function limit(sender, maxBitrate) {
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) Object.assign(encoding, { maxBitrate, maxFramerate: MAX_FPS });
  // Few sharp pictures are worth more to the agent than many soft ones.
  parameters.degradationPreference = "maintain-resolution";
  await sender.setParameters(parameters);
}

/**
 * Leaves the abs-send-time extension out of the offer where the browser allows it (Chromium, Safari). aiortc estimates
 * the bandwidth from it and takes two pictures a second for a slow network: 60 kbit/s, at which a screen is unreadable.
 * Without it the browser relies on reported loss, and pictures are sharp after a few seconds.
 * @param {any} transceiver newer than TypeScript's types
 */
function withoutSendTime(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  if (!extensions || !transceiver.setHeaderExtensionsToNegotiate) return;
  for (const one of extensions) if (one.uri.endsWith("/abs-send-time")) one.direction = "stopped";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
