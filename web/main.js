/** The page: joins the call, the devices and what is shown. Every decision about a call is in call.js and state.js. */

import { Attachments } from "./attachments.js";
import { Call } from "./call.js";
import { CallClock } from "./clock.js";
import { Microphone, explain, fillPicker } from "./devices.js";
import { byId } from "./dom.js";
import { Problem, key } from "./http.js";
import { Log } from "./log.js";
import { Meter } from "./meter.js";
import { Notices } from "./notices.js";
import { Orb } from "./orb.js";
import { Pictures } from "./pictures.js";
import { clientMessage, isRecord, newId, sendText, text } from "./rtvi.js";
import { CALL_WORDS, HOLD_MS, agentWords, isLimitEnd, isQuietEnd, nextAgentState } from "./state.js";
import { Store } from "./store.js";
import { Talk } from "./talk.js";
import { Transcript } from "./transcript.js";
import { Usage } from "./usage.js";

/** @typedef {import("./state.js").AgentState} AgentState */
/** @typedef {import("./call.js").StateChange} StateChange */

const $ = {
  connect: byId("connect", HTMLButtonElement),
  hangup: byId("hangup", HTMLButtonElement),
  mute: byId("mute", HTMLButtonElement),
  micCheck: byId("mic-check", HTMLButtonElement),
  micMeter: byId("mic-meter", HTMLElement),
  micWords: byId("mic-words", HTMLElement),
  callState: byId("call-state", HTMLElement),
  callWords: byId("call-words", HTMLElement),
  callReason: byId("call-reason", HTMLElement),
  agentState: byId("agent-state", HTMLElement),
  audio: byId("agent-audio", HTMLAudioElement),
  hear: byId("hear", HTMLButtonElement),
  stop: byId("stop", HTMLButtonElement),
  text: byId("text", HTMLInputElement),
  send: byId("send", HTMLButtonElement),
  banner: byId("error-banner", HTMLElement),
  bannerAction: byId("error-action", HTMLButtonElement),
  settings: byId("settings", HTMLDialogElement),
  micPicker: byId("mic-picker", HTMLSelectElement),
  cameraPicker: byId("camera-picker", HTMLSelectElement),
  speakerPicker: byId("speaker-picker", HTMLSelectElement),
  processing: byId("processing", HTMLInputElement),
  scheme: byId("scheme", HTMLSelectElement),
  keyDialog: byId("key-dialog", HTMLDialogElement),
  key: byId("key", HTMLInputElement),
};

const microphone = new Microphone();
const pictures = new Pictures();
const attachments = new Attachments();
const clock = new CallClock();
const choices = new Store(() => localStorage);
const micMeter = new Meter();
const agentMeter = new Meter();
const orb = new Orb(byId("orb", HTMLCanvasElement));
const log = new Log(byId("event-list", HTMLElement), byId("event-count", HTMLElement));
const talk = new Talk();
const notices = new Notices(byId("notice", HTMLElement));
const usage = new Usage(byId("usage", HTMLElement), byId("usage-brief", HTMLElement));
const transcript = new Transcript(byId("transcript", HTMLElement), byId("announcer", HTMLElement), byId("latest", HTMLElement));

/** @type {AudioContext | null} made on the first click: browsers want one */
let audioContext = null;
/** @type {Call | null} */
let call = null;
/** True from the click on Call until there is a call, so that a second click does nothing. */
let asking = false;
/** @type {AgentState} */
let agentState = "idle";
/** Whoever has interrupted the agent needs no hint that it can be done. */
let interruptedOnce = false;
/** Asked where pictures come without words. */
const DESCRIBE = "Describe what you see.";
/** False in a call without a microphone: plugging one in must not make the browser ask for it. */
let wantsMicrophone = true;

// ---- the call

async function connect(withMicrophone = true) {
  if (asking || (call && !call.over)) return;
  asking = true;
  wantsMicrophone = withMicrophone;
  hideBanner();
  showCall({ state: "connecting", reason: "", title: "Allow the microphone, if the browser asks.", detail: "" });
  try {
    audioContext ??= new AudioContext();
    void audioContext.resume();
    if (withMicrophone) await openMicrophone();
  } catch (error) {
    const { title, detail } = explain(error);
    showCall({ state: "failed", reason: "no_microphone", title, detail });
    $.bannerAction.hidden = !("RTCPeerConnection" in window);
    return;
  } finally {
    asking = false;
  }
  // Hung up while the browser was asking.
  if ($.callState.dataset.state !== "connecting") return release();
  const mine = (call = new Call());
  transcript.begin();
  usage.begin();
  mine.addEventListener("state", (event) => showCall(detailOf(event)));
  mine.addEventListener("message", (event) => onMessage(detailOf(event)));
  mine.addEventListener("stream", (event) => play(detailOf(event)));
  mine.addEventListener("log", (event) => log.add(detailOf(event)));
  try {
    await mine.start({ microphone: microphone.track });
  } catch (error) {
    if (error instanceof Problem && error.status === 401) askForKey();
  }
}

function hangUp() {
  if (call && !call.over) call.hangUp();
  else if ($.callState.dataset.state === "connecting") {
    showCall({ state: "ended", reason: "hung_up", title: "You hung up", detail: "" });
  }
}

/** @param {StateChange} change */
function showCall({ state, reason, title, detail }) {
  const joined = state === "connected" || state === "reconnecting";
  const busy = joined || state === "connecting";
  const hadFocus = document.activeElement === $.connect || document.activeElement === $.hangup;
  document.body.dataset.call = $.callState.dataset.state = state;
  $.callState.dataset.reason = reason;
  $.callWords.textContent = CALL_WORDS[state];
  $.agentState.textContent = agentWords(agentState, state);
  $.connect.hidden = busy;
  $.hangup.hidden = !busy;
  if (hadFocus) (busy ? $.hangup : $.connect).focus();
  $.text.disabled = $.send.disabled = !joined;
  pictures.follow(joined ? call : null);
  attachments.enable(joined);
  $.micCheck.hidden = busy;
  $.callReason.textContent = title || (state === "connected" ? hint() : "");
  if (state === "connected" && call?.pc) clock.start(call.pc);
  if (!busy && state !== "idle") {
    if (clock.running) $.callReason.textContent += ` after ${clock.words}`;
    if (!isQuietEnd(reason) && reason !== "http_401") showBanner(title, detail, isLimitEnd(reason) ? "note" : "trouble");
    release();
  }
}

function hint() {
  if (talk.shown) return "Hold the button or the space bar while you speak.";
  return interruptedOnce ? "" : "Just talk. You can interrupt at any time.";
}

/** Gives everything back that a call holds. */
function release() {
  microphone.close();
  pictures.follow(null);
  talk.show(false);
  microphone.passing = true;
  notices.clear();
  transcript.finish();
  showAgent("idle");
  $.audio.srcObject = null;
  $.hear.hidden = true;
  if (audioContext) agentMeter.attach(audioContext, null);
  void audioContext?.suspend();
  clock.stop();
}

/** @param {import("./rtvi.js").Message} message */
function onMessage(message) {
  const { type, data } = message;
  transcript.on(message);
  showAgent(nextAgentState(agentState, type));
  if (type.startsWith("llm-function-call")) holdAgent();
  if (type === "bot-interrupted" && !interruptedOnce) {
    interruptedOnce = true;
    $.callReason.textContent = hint();
  }
  if (type === "bot-ready") {
    const about = isRecord(data.about) ? data.about : {};
    byId("offline-label", HTMLElement).hidden = about.offline_demo !== true;
    byId("about", HTMLElement).textContent = [
      `Agent: ${text(about.model) || "unnamed model"}`,
      `Service: ${text(about.library)} ${text(about.library_version)}`,
      `RTVI ${text(data.version)}`,
    ].join(" · ");
    if (about.vad === "off") pushToTalk();
  } else if (type === "server-message") {
    notices.on(data);
    usage.on(data);
    if (data.type === "picture-sent") pictures.seen(data);
    else if (data.type === "agent-responded") clock.figure("answer", Number(data.response_ms), "ms");
  } else if ((type === "error" && data.fatal !== true) || type === "error-response") {
    showBanner("The service reports a problem", text(data.error));
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let agentTimer;

/** @param {AgentState} state */
function showAgent(state) {
  if (state === agentState) return;
  agentState = state;
  $.agentState.dataset.state = document.body.dataset.agent = state;
  $.agentState.textContent = agentWords(state, call?.state ?? "idle");
  $.stop.hidden = state !== "speaking";
  holdAgent();
  animate();
}

function holdAgent() {
  clearTimeout(agentTimer);
  const hold = HOLD_MS[agentState];
  if (!hold || (agentState === "thinking" && transcript.toolRunning)) return;
  agentTimer = setTimeout(() => showAgent("listening"), hold);
}

$.stop.addEventListener("click", () => void call?.send(clientMessage("interrupt")));

// ---- push-to-talk

/** The agent listens only while it is told to. */
function pushToTalk() {
  microphone.passing = false;
  talk.enable(microphone.stream !== null);
  talk.show(true);
  $.callReason.textContent = hint();
  // A space bar that is pressed to talk must not hang up.
  if (document.activeElement === $.hangup || document.activeElement === document.body) talk.focus();
}

talk.addEventListener("start", () => {
  if (call?.send(clientMessage("activity-start"))) microphone.passing = true;
});
talk.addEventListener("end", () => {
  microphone.passing = false;
  void call?.send(clientMessage("activity-end"));
});

// ---- the agent's voice

/** @param {MediaStream} stream */
async function play(stream) {
  $.audio.srcObject = stream;
  if (audioContext) agentMeter.attach(audioContext, stream);
  try {
    await $.audio.play();
    $.hear.hidden = true;
  } catch (error) {
    // Anything else is a newer stream taking over.
    if (error instanceof DOMException && error.name === "NotAllowedError") $.hear.hidden = false;
  }
}

$.hear.addEventListener("click", () => {
  void audioContext?.resume();
  if ($.audio.srcObject instanceof MediaStream) void play($.audio.srcObject);
});

// ---- the microphone, the speakers, the camera and the screen

async function openMicrophone() {
  audioContext ??= new AudioContext();
  void audioContext.resume();
  await microphone.open();
}

microphone.addEventListener("change", () => {
  const { stream, track, muted } = microphone;
  if (audioContext) micMeter.attach(audioContext, stream);
  if (call && !call.over) void call.replaceTrack("microphone", track);
  $.mute.disabled = !stream;
  talk.enable(stream !== null);
  $.mute.setAttribute("aria-pressed", String(muted));
  $.mute.setAttribute("aria-label", muted ? "Unmute" : "Mute");
  $.mute.title = muted ? "Unmute (m)" : "Mute (m)";
  $.micCheck.textContent = stream ? "Stop" : "Check it";
  $.micWords.textContent = !stream ? "Off" : muted ? "Muted" : "On";
  void refreshDevices();
  animate();
});

$.mute.addEventListener("click", () => (microphone.muted = !microphone.muted));

$.micCheck.addEventListener("click", async () => {
  if (microphone.stream) return release();
  hideBanner();
  await openMicrophone().catch(showTrouble);
});

/** @param {unknown} error */
function showTrouble(error) {
  const { title, detail } = explain(error);
  showBanner(title, detail);
}

async function refreshDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  const inputs = devices.filter(({ kind }) => kind === "audioinput");
  const outputs = devices.filter(({ kind }) => kind === "audiooutput");
  fillPicker($.micPicker, inputs, microphone.deviceId, "Microphone");
  const cameras = devices.filter(({ kind }) => kind === "videoinput");
  fillPicker($.cameraPicker, cameras, pictures.camera.deviceId, "Camera");
  fillPicker($.speakerPicker, outputs, choices.get("speaker"), "Speakers");
  byId("speaker-row", HTMLElement).hidden = !("setSinkId" in $.audio);
}

async function chooseSpeaker() {
  if (!("setSinkId" in $.audio)) return;
  await $.audio.setSinkId($.speakerPicker.value).catch(() => $.audio.setSinkId(""));
}

navigator.mediaDevices?.addEventListener("devicechange", async () => {
  await refreshDevices();
  await chooseSpeaker();
  // The only one was unplugged, and here is another.
  if (wantsMicrophone && call && !call.over && !microphone.stream) await openMicrophone().catch(showTrouble);
});

$.micPicker.addEventListener("change", () => {
  microphone.deviceId = choices.set("microphone", $.micPicker.value);
  microphone.reopen().catch(showTrouble);
});
$.cameraPicker.addEventListener("change", () => {
  pictures.camera.deviceId = choices.set("camera", $.cameraPicker.value);
  pictures.camera.reopen().catch((error) => {
    const { title, detail } = explain(error, "camera");
    showBanner(title, detail);
  });
});
pictures.camera.addEventListener("change", () => void refreshDevices());
pictures.addEventListener("trouble", (event) => {
  const { title, detail } = detailOf(event);
  showBanner(title, detail);
});
$.speakerPicker.addEventListener("change", () => {
  choices.set("speaker", $.speakerPicker.value);
  void chooseSpeaker();
});
$.processing.addEventListener("change", () => {
  microphone.processing = choices.set("processing", $.processing.checked ? "" : "off") === "";
  microphone.reopen().catch(showTrouble);
});
$.scheme.addEventListener("change", () => (document.documentElement.dataset.scheme = choices.set("scheme", $.scheme.value)));

// ---- typing, keys, dialogs, the banner

byId("text-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $.text.value.trim();
  if (call && attachments.blobs.length) return void askAboutPictures(call, words || DESCRIBE, attachments.blobs);
  if (!words || !call) return;
  const message = sendText(words);
  if (!call.send(message)) return;
  transcript.typed(message.id, words);
  if (agentState === "listening") showAgent("thinking");
  $.text.value = "";
});

/**
 * @param {Call} mine
 * @param {string} words
 * @param {Blob[]} blobs
 */
async function askAboutPictures(mine, words, blobs) {
  const id = newId();
  transcript.typed(id, words);
  attachments.clear();
  $.text.value = "";
  if (agentState === "listening") showAgent("thinking");
  try {
    await mine.ask(words, blobs);
  } catch (error) {
    transcript.refused(id);
    if (error instanceof Problem) showBanner(error.title, error.detail);
    else showBanner("The pictures were not sent", String(error));
  }
}

attachments.addEventListener("trouble", (event) => {
  const { title, detail } = detailOf(event);
  showBanner(title, detail);
});

document.addEventListener("keydown", (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) {
    if (event.key === "Escape") target.blur(); // the next Esc hangs up
    return;
  }
  if (event.key === "m" && !event.repeat) $.mute.click();
  else if (event.key === "c" && !event.repeat) byId("camera", HTMLButtonElement).click();
  else if (event.key === "s" && !event.repeat) byId("screen", HTMLButtonElement).click();
  else if (event.key === "." && !$.stop.hidden) $.stop.click();
  else if (event.key === "Escape") hangUp();
  else if (event.key === "/" && !$.text.disabled) {
    event.preventDefault();
    $.text.focus();
  }
});

$.connect.addEventListener("click", () => void connect());
$.hangup.addEventListener("click", hangUp);
$.bannerAction.addEventListener("click", () => void connect(false));
byId("error-close", HTMLButtonElement).addEventListener("click", hideBanner);

/**
 * @param {string} title
 * @param {string} detail
 * @param {"trouble" | "note"} tone
 */
function showBanner(title, detail, tone = "trouble") {
  $.banner.dataset.tone = tone;
  byId("error-title", HTMLElement).textContent = title && !/[.!?]$/.test(title) ? `${title}.` : title;
  byId("error-detail", HTMLElement).textContent = detail;
  $.bannerAction.hidden = true;
  $.banner.hidden = false;
}

function hideBanner() {
  $.banner.hidden = true;
}

function askForKey() {
  const refused = key.get() !== "";
  key.forget();
  byId("key-title", HTMLElement).textContent = refused ? "That key was not accepted" : "This service asks for a key";
  $.key.value = "";
  $.callReason.textContent = "A key is needed.";
  $.keyDialog.showModal();
}

byId("key-form", HTMLFormElement).addEventListener("submit", () => {
  key.set($.key.value.trim());
  $.key.value = "";
  void connect();
});
byId("key-cancel", HTMLButtonElement).addEventListener("click", () => $.keyDialog.close());

const forgetKey = byId("forget-key", HTMLButtonElement);
forgetKey.addEventListener("click", () => {
  key.forget();
  forgetKey.hidden = true;
});
byId("open-settings", HTMLButtonElement).addEventListener("click", () => {
  forgetKey.hidden = !key.get();
  void refreshDevices();
  $.settings.showModal();
});
$.settings.addEventListener("click", (event) => {
  if (event.target === $.settings) $.settings.close(); // on the backdrop
});

const filter = byId("event-filter", HTMLInputElement);
filter.addEventListener("input", () => log.filter(filter.value));
byId("event-clear", HTMLButtonElement).addEventListener("click", () => log.clear());
const copy = byId("event-copy", HTMLButtonElement);
copy.addEventListener("click", async () => {
  const done = await navigator.clipboard?.writeText(log.text()).then(() => true, () => false);
  copy.textContent = done ? "Copied" : "Not allowed";
  setTimeout(() => (copy.textContent = "Copy"), 1500);
});

// ---- the moving picture; runs only while something can move

let frame = 0;
let lastMoveMs = 0;
let lastMeterMs = 0;

function animate() {
  lastMoveMs = performance.now();
  frame ||= requestAnimationFrame(drawFrame);
}

/** @param {number} nowMs */
function drawFrame(nowMs) {
  const mine = micMeter.read();
  const agents = agentMeter.read();
  orb.draw(nowMs, agentState === "speaking" ? agents : agentState === "listening" ? mine : 0, agentState);
  $.micMeter.style.setProperty("--level", mine.toFixed(3));
  if (nowMs - lastMeterMs > 250) {
    lastMeterMs = nowMs;
    $.micMeter.setAttribute("aria-valuenow", String(Math.round(mine * 100)));
  }
  const moving = microphone.stream || agentState !== "idle" || nowMs - lastMoveMs < 1000;
  frame = moving ? requestAnimationFrame(drawFrame) : 0;
}

// ---- beginning and end of the page

/**
 * @param {Event} event
 * @returns {any}
 */
function detailOf(event) {
  return event instanceof CustomEvent ? event.detail : undefined;
}

addEventListener("pagehide", () => call?.hangUp());
addEventListener("resize", animate);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", animate);

microphone.deviceId = choices.get("microphone");
pictures.camera.deviceId = choices.get("camera");
microphone.processing = choices.get("processing") !== "off";
$.processing.checked = microphone.processing;
$.scheme.value = document.documentElement.dataset.scheme = choices.get("scheme");
void refreshDevices().then(chooseSpeaker);
if (!("RTCPeerConnection" in window)) {
  showBanner("This browser cannot carry calls", "It has no WebRTC, or it is switched off.");
  $.connect.disabled = true;
}
animate();

/** Access for tests and diagnosis: the peer connection and its raw statistics. Not an interface to build on. */
Object.assign(window, {
  talkspurt: {
    get pc() {
      return call?.pc ?? null;
    },
    /** @returns {Promise<object[]>} every report of getStats(), as plain objects */
    stats: async () => [...((await call?.pc?.getStats()) ?? new Map()).values()],
  },
});
