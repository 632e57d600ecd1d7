/** The page: makes its parts and connects them. */

import { AgentPictures } from "./agent-pictures.js";
import { animation } from "./animation.js";
import { Answers } from "./answers.js";
import { Banner } from "./banner.js";
import { Calling } from "./calling.js";
import { CallClock } from "./clock.js";
import { Composer } from "./composer.js";
import { byId, listen } from "./dom.js";
import { KeyDialog } from "./key-dialog.js";
import { Log } from "./log.js";
import { restMeters, wakeMeters } from "./meter.js";
import { MicrophoneControls } from "./microphone-controls.js";
import { Microphone } from "./microphone.js";
import { Notices } from "./notices.js";
import { Orb } from "./orb.js";
import { Pictures } from "./pictures.js";
import { clientMessage, isRecord, text } from "./rtvi.js";
import { Settings } from "./settings.js";
import { listenForShortcuts } from "./shortcuts.js";
import { isAgentState, isLimitEnd, isQuietEnd } from "./state.js";
import { Status } from "./status.js";
import { Talk } from "./talk.js";
import { Transcript } from "./transcript.js";
import { Usage } from "./usage.js";
import { AgentVoice } from "./voice.js";

const HAS_WEBRTC = "RTCPeerConnection" in window;
const TALK_HINT = "Just talk. You can interrupt at any time.";
const HOLD_HINT = "Hold the button or the space bar while you speak.";

const microphone = new Microphone();
const microphoneControls = new MicrophoneControls(microphone);
const calling = new Calling(microphone);
const status = new Status();
const banner = new Banner();
const voice = new AgentVoice();
const pictures = new Pictures();
const transcript = new Transcript(byId("transcript", HTMLElement), byId("announcer", HTMLElement), byId("latest", HTMLElement));
const agentPictures = new AgentPictures(transcript);
const composer = new Composer(transcript);
const talk = new Talk();
const clock = new CallClock();
const notices = new Notices(byId("notice", HTMLElement));
const answers = new Answers(byId("answers", HTMLElement));
const usage = new Usage(byId("usage", HTMLElement), byId("usage-brief", HTMLElement));
const settings = new Settings(microphone, pictures.camera, voice);
const keyDialog = new KeyDialog();
const log = new Log();
const orb = new Orb(byId("orb", HTMLCanvasElement));

// ---- a call begins, goes on and ends

/** To be called on a click. */
function connect(withMicrophone = true) {
  if (!calling.up) banner.hide();
  wakeMeters();
  void calling.start(withMicrophone);
}

byId("connect", HTMLButtonElement).addEventListener("click", () => connect());
byId("hangup", HTMLButtonElement).addEventListener("click", () => calling.hangUp());
listen(banner, "action", () => connect(false));
listen(keyDialog, "given", () => connect());
addEventListener("pagehide", () => calling.hangUp());

listen(calling, "begin", () => {
  transcript.begin();
  usage.begin();
  answers.begin();
  // Whoever has interrupted the agent needs no hint that it can be done.
  status.showHint(transcript.interrupted ? "" : TALK_HINT);
});

listen(calling, "state", (/** @type {import("./call.js").StateChange} */ change) => {
  const { state } = change;
  const joined = state === "connected" || state === "reconnecting";
  const over = state === "ended" || state === "failed";
  status.showCall(change, over && clock.running ? clock.words : "");
  pictures.follow(joined ? calling.call : null);
  composer.follow(joined ? calling.call : null);
  microphoneControls.offerCheck(over);
  if (state === "connected" && calling.call?.pc) clock.start(calling.call.pc);
  if (over) release(change);
});

/** @param {import("./call.js").StateChange} end */
function release({ reason, title, detail }) {
  talk.show(false);
  microphone.passing = true;
  notices.clear();
  transcript.finish();
  voice.stop();
  restMeters();
  clock.stop();
  if (isQuietEnd(reason) || reason === "http_401") return; // the key dialog says so
  const tone = isLimitEnd(reason) ? "note" : "trouble";
  banner.show({ title, detail }, { tone, action: reason === "no_microphone" && HAS_WEBRTC });
}

listen(calling, "unauthorised", () => {
  status.showReason("This service needs a key.");
  keyDialog.ask();
});
listen(calling, "stream", (stream) => void voice.play(stream));
listen(calling, "log", (entry) => log.add(entry));
for (const part of [calling, microphoneControls, settings, pictures, composer]) {
  listen(part, "trouble", (trouble) => banner.show(trouble));
}

// ---- what the service says

listen(calling, "message", (/** @type {import("./rtvi.js").Message} */ message) => {
  const { type, data } = message;
  transcript.on(message);
  if (type === "bot-ready") introduce(data);
  else if (type === "bot-interrupted" && !talk.shown) status.showHint("");
  else if (type === "server-message") onServerMessage(data);
  else if ((type === "error" && data.fatal !== true) || type === "error-response") {
    banner.show({ title: "The service reports a problem", detail: text(data.error) });
  }
});

/** @param {Record<string, unknown>} data */
function onServerMessage(data) {
  notices.on(data);
  usage.on(data);
  answers.on(data);
  switch (data.type) {
    case "agent-state":
      if (isAgentState(data.state)) status.showAgent(data.state);
      return animate();
    case "agent-responded":
      return clock.figure("answer", Number(data.response_ms), "ms");
    case "picture-sent":
      return pictures.seen(data);
    case "agent-showed-picture":
      if (calling.call) void agentPictures.show(data, calling.call);
  }
}

/** @param {Record<string, unknown>} data of a bot-ready */
function introduce({ about, version }) {
  const { offline_demo, model, library, library_version, vad } = isRecord(about) ? about : {};
  byId("offline-label", HTMLElement).hidden = offline_demo !== true;
  byId("about", HTMLElement).textContent = [
    `Agent: ${text(model) || "unnamed model"}`,
    `Service: ${text(library)} ${text(library_version)}`,
    `RTVI ${text(version)}`,
  ].join(" · ");
  if (vad === "off") showTalk();
}

// ---- the caller's voice

microphone.addEventListener("change", () => {
  if (calling.up) void calling.call?.replaceTrack("microphone", microphone.track);
  talk.enable(microphone.stream !== null);
  animate();
});
listen(microphoneControls, "check", () => banner.hide());

/** Push-to-talk: the agent listens only while the button is held. */
function showTalk() {
  microphone.passing = false;
  talk.enable(microphone.stream !== null);
  talk.show(true);
  status.showHint(HOLD_HINT);
  // A space bar that is pressed to talk must not hang up.
  if (document.activeElement === byId("hangup", HTMLElement) || document.activeElement === document.body) talk.focus();
}

talk.addEventListener("start", () => {
  if (calling.call?.send(clientMessage("activity-start"))) microphone.passing = true;
});
talk.addEventListener("end", () => {
  microphone.passing = false;
  void calling.call?.send(clientMessage("activity-end"));
});
byId("stop", HTMLButtonElement).addEventListener("click", () => void calling.call?.send(clientMessage("interrupt")));

// ---- what moves

const animate = animation((nowMs) => {
  const callerLevel = microphoneControls.drawLevel(nowMs);
  const agentLevel = voice.meter.read();
  const { agent } = status;
  orb.draw(nowMs, agent === "speaking" ? agentLevel : agent === "listening" ? callerLevel : 0, agent);
  return microphone.stream !== null || agent !== null;
});
addEventListener("resize", animate);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", animate);

listenForShortcuts();
if (!HAS_WEBRTC) {
  banner.show({ title: "This browser cannot make calls", detail: "It has no WebRTC, or WebRTC is switched off." });
  byId("connect", HTMLButtonElement).disabled = true;
}
animate();

/** For tests and diagnosis, not an interface to build on: the peer connection and its raw statistics. */
Object.assign(window, {
  talkspurt: {
    get pc() {
      return calling.call?.pc ?? null;
    },
    /** @returns {Promise<object[]>} every report of getStats(), as plain objects */
    stats: async () => [...((await calling.call?.pc?.getStats()) ?? new Map()).values()],
  },
});
