/** One call: what was said and done, when, at what cost, and its recording. */

import { emit, make } from "../dom.js";
import { Problem } from "../http.js";
import { clock, milliseconds, money, size, whole, who, words } from "./format.js";
import { isBad } from "./list.js";
import { playerOf } from "./player.js";
import { lanes, setUp, timeline, waits } from "./plots.js";
import { QualityPlots } from "./quality.js";

const FETCHED_UNASKED_BYTES = 20e6;

/** @typedef {import("./player.js").Player} Player */

/** Events: `erase` and `hangup` with the call's id, `back`; `problem` with what went wrong. */
export class CallView extends EventTarget {
  #box;
  #fetchRecording;
  /** @type {any} */
  #call = null;
  /** @type {Player | null} */
  #player = null;
  /** @type {{bytes: Uint8Array, name: string} | null} */
  #file = null;
  #quality = new QualityPlots();
  #facts = make("dl");

  /**
   * @param {HTMLElement} box
   * @param {(id: string) => Promise<{bytes: Uint8Array, name: string}>} fetchRecording
   */
  constructor(box, fetchRecording) {
    super();
    this.#box = box;
    this.#fetchRecording = fetchRecording;
  }

  get id() {
    return this.#call?.id ?? "";
  }

  get running() {
    return this.#call?.state === "running";
  }

  /** @param {any} call as the history tells it */
  show(call) {
    const same = this.#call?.id === call.id;
    const unchanged = same && ["state", "turns"].every((name) => this.#call[name] === call[name])
      && this.#call.transcript.length === call.transcript.length && this.#call.tools.length === call.tools.length
      && this.#call.recording.state === call.recording.state && Boolean(this.#call.summary) === Boolean(call.summary);
    const lengthMs = (call.ended_ms ?? lastMoment(call)) - call.started_ms;
    if (unchanged) {
      if (this.running) this.#keepUp(call, lengthMs);
      return;
    }
    const scrolled = same ? this.#box.scrollTop : 0;
    this.#close();
    this.#call = call;
    this.#facts = figures(call, lengthMs);
    if (!same) this.#quality = new QualityPlots();
    this.#quality.show(call, lengthMs);
    this.#box.replaceChildren(
      this.#head(call, lengthMs),
      this.#facts,
      ...this.#optional("Summary", summaryOf(call)),
      this.#part("What happened when", ...this.#sound(call, lengthMs)),
      this.#part("Transcript", this.#transcript(call)),
      this.#quality.element,
      ...this.#optional("Waits for an answer", waits(call)),
      ...this.#optional("Set-up", setUp(call)),
      ...this.#optional("Events", eventList(call)),
      ...this.#optional("Counters", counters(call)),
    );
    this.#box.scrollTop = scrolled;
  }

  /** Shows the figures of a running call in which nobody has said anything more. @param {any} call @param {number} lengthMs */
  #keepUp(call, lengthMs) {
    this.#call = call;
    const facts = figures(call, lengthMs);
    this.#facts.replaceWith(facts);
    this.#facts = facts;
    this.#quality.show(call, lengthMs);
  }

  /** @param {string} sentence */
  clear(sentence = "Choose a call to see what happened in it.") {
    this.#close();
    this.#call = null;
    this.#box.replaceChildren(make("p", { id: "call-none", class: "quiet" }, sentence));
  }

  focus() {
    this.#box.focus();
  }

  #close() {
    this.#player?.close();
    this.#player = null;
    this.#file = null;
  }

  /** @param {string} name @param {...(Node | string)} content */
  #part(name, ...content) {
    return make("section", { class: "part" }, make("h3", {}, name), ...content);
  }

  /** @param {string} name @param {Node | null} content */
  #optional(name, content) {
    return content ? [this.#part(name, content)] : [];
  }

  /** @param {any} call @param {number} lengthMs */
  #head(call, lengthMs) {
    const back = make("button", { class: "button back", type: "button" }, "All calls");
    back.addEventListener("click", () => emit(this, "back"));
    const reason = call.state === "running" ? "Running" : words(String(call.reason ?? call.state));
    const fault = call.fault && isBad(call) ? ` Fault: ${call.fault}.` : "";
    const actions = make("div", { class: "actions" });
    if (call.state === "running") actions.append(this.#button("Hang up", "hangup", "danger"));
    const save = make("button", { class: "button", type: "button" }, "Download record");
    save.addEventListener("click", () => download(new Blob([JSON.stringify(call, null, 2)], { type: "application/json" }), `${call.id}.json`));
    actions.append(save, this.#button("Erase…", "erase", "danger"));
    return make("div", { class: "call-head" },
      back,
      make("div", { class: "call-title" },
        make("h2", {}, who(call)),
        make("p", { class: "quiet figure" }, call.state === "running" ? whole(call.started_ms) : `${whole(call.started_ms)} · ${clock(lengthMs)}`),
        make("p", {}, make("span", { class: "reason", "data-bad": String(isBad(call)), "data-state": String(call.state) }, reason), call.detail ? ` · ${call.detail}${fault}` : "")),
      actions);
  }

  /** @param {string} name @param {string} event @param {string} kind */
  #button(name, event, kind) {
    const button = make("button", { class: `button ${kind}`, type: "button" }, name);
    button.addEventListener("click", () => emit(this, event, this.id));
    return button;
  }

  /** The lanes, and the recording's player over them if there is one. @param {any} call @param {number} lengthMs */
  #sound(call, lengthMs) {
    const legend = make("p", { class: "legend quiet" }, ...["caller", "agent", "tool"].map((kind) => make("span", {}, make("span", { class: `key key-${kind}` }), words(kind))));
    const plot = make("div", { class: "lanes-box" }, lanes(call, lengthMs));
    const recording = call.recording ?? { state: "off" };
    const place = make("div", { class: "recording" });
    if (recording.state === "stored") {
      const fetchIt = make("button", { class: "button", type: "button" }, `Load the recording (${size(recording.size_bytes ?? 0)})`);
      fetchIt.addEventListener("click", () => void this.#load(place));
      place.append(fetchIt);
      if ((recording.size_bytes ?? Infinity) <= FETCHED_UNASKED_BYTES) void this.#load(place);
    } else {
      place.append(make("p", { class: "quiet" }, {
        off: "This call was not recorded.",
        writing: "The recording is still being written.",
        failed: "The recording could not be kept.",
      }[/** @type {"off" | "writing" | "failed"} */ (recording.state)] ?? "There is no recording."));
    }
    plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect();
      this.#player?.seek(((event.clientX - box.left) / box.width) * lengthMs);
    });
    return [place, plot, make("div", { class: "axis quiet figure", "aria-hidden": "true" }, make("span", {}, "0:00"), make("span", {}, clock(lengthMs))), legend];
  }

  /** @param {HTMLElement} place */
  async #load(place) {
    const call = this.#call;
    place.replaceChildren(make("p", { class: "quiet", role: "status" }, "Loading the recording…"));
    try {
      this.#file ??= await this.#fetchRecording(call.id);
      if (this.#call !== call) return;
      const { bytes, name } = this.#file;
      const save = make("button", { class: "link", type: "button" }, `Download recording (${size(bytes.length)})`);
      save.addEventListener("click", () => download(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]), name));
      const lost = call.recording.lost_ms ? `${(call.recording.lost_ms / 1000).toFixed(1)} s of it are silent because packets were lost.` : "";
      const cut = call.recording.cut_off ? "It ends where the service was killed." : "";
      place.replaceChildren(save, make("p", { class: "quiet small" }, [lost, cut].filter(Boolean).join(" ")));
      const player = await playerOf(bytes, call.recording.duration_ms ?? 0);
      if (this.#call !== call) return player.close();
      this.#player = player;
      player.addEventListener("moved", (event) => this.#follow(event instanceof CustomEvent ? event.detail : 0));
      player.element.lastElementChild?.append(save);
      place.prepend(player.element);
      place.dataset.playable = "";
    } catch (problem) {
      if (this.#call !== call) return;
      const why = problem instanceof RangeError ? "It is too long to be played here; download it."
        : problem instanceof Problem ? problem.message : "This browser cannot play it; download it.";
      if (problem instanceof Problem) place.replaceChildren();
      place.append(make("p", { class: "quiet", role: "status" }, why));
    }
  }

  /** Marks the turn that is being played. @param {number} atMs */
  #follow(atMs) {
    for (const turn of this.#box.querySelectorAll("[data-from]")) {
      if (!(turn instanceof HTMLElement)) continue;
      const now = atMs > 0 && atMs >= Number(turn.dataset.from) && atMs < Number(turn.dataset.to);
      if (now !== "playing" in turn.dataset) turn.toggleAttribute("data-playing", now);
    }
  }

  /** @param {any} call */
  #transcript(call) {
    const items = [
      ...call.transcript.map((/** @type {any} */ turn) => ({ at: turn.started_ms, element: () => this.#turn(call, turn) })),
      ...call.tools.map((/** @type {any} */ tool) => ({ at: tool.started_ms, element: () => toolOf(call, tool) })),
    ].sort((one, other) => one.at - other.at);
    if (!items.length) return make("p", { class: "quiet" }, "Nothing was said.");
    return make("ol", { class: "said" }, ...items.map((item) => make("li", {}, item.element())));
  }

  /** @param {any} call @param {any} turn */
  #turn(call, turn) {
    const from = turn.started_ms - call.started_ms;
    const speaker = turn.speaker === "agent" ? "Agent" : "Caller";
    const jump = make("button", { class: "link jump figure", type: "button", "aria-label": `${speaker}, at ${clock(from)}: play from here` }, clock(from));
    jump.addEventListener("click", () => this.#player?.seek(from));
    const hints = [turn.typed ? "typed" : "", turn.response_ms !== null ? `after ${milliseconds(turn.response_ms)}` : ""].filter(Boolean).join(" · ");
    const said = make("p", { class: "words" }, turn.text);
    if (turn.unheard) {
      const gap = turn.text && !/\s$/.test(turn.text) ? " " : "";
      said.append(gap, make("del", { title: turn.estimated ? "Not heard; the place of the cut is an estimate" : "Not heard" }, make("span", { class: "unseen" }, "Not heard: "), turn.unheard));
    }
    return make("article", {
      class: "turn", "data-speaker": turn.speaker, "data-final": "true", "data-interrupted": String(turn.interrupted),
      "data-from": String(from), "data-to": String(turn.ended_ms - call.started_ms),
    }, make("p", { class: "speaker" }, `${speaker} `, jump, make("span", { class: "hint" }, hints ? ` ${hints}` : "")), said);
  }
}

/** @param {any} call @param {number} lengthMs */
function figures(call, lengthMs) {
  const responses = call.transcript.map((/** @type {any} */ turn) => turn.response_ms).filter((/** @type {any} */ ms) => ms !== null).sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
  const { inbound_packets: got = 0, inbound_lost_packets: lost = 0 } = call.stats ?? {};
  /** @type {[string, string][]} */
  const facts = [
    ["Duration", clock(lengthMs)],
    ["Turns", `${call.turns || call.transcript.length}${call.interruptions ? `, ${call.interruptions} cut` : ""}`],
    ["Median wait", responses.length ? milliseconds(responses[Math.floor(responses.length / 2)]) : "–"],
    ["Cost", money(call.cost_usd)],
    ["Tokens", tokens(call.tokens)],
    ["Lost packets", got + lost ? `${((100 * lost) / (got + lost)).toFixed(1)} %` : "–"],
    ["Quality (estimated)", typeof call.mos_in === "number" ? `${call.mos_in.toFixed(1)} in, ${call.mos_out?.toFixed(1) ?? "–"} out` : "–"],
    ["Model", call.model],
    ["Codec", call.codec ?? "–"],
    ["From", call.caller ?? "–"],
    ["To", call.callee ?? "–"],
    ["Call id", call.id],
  ];
  return make("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "–").map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** What a model said of the call once it was over; null if nobody asked. @param {any} call */
function summaryOf(call) {
  const found = call.summary;
  if (!found) return null;
  if (found.state !== "done") return make("p", { class: "quiet" }, `There is none: ${found.detail}`);
  const data = found.data === null ? [] : [make("pre", { tabindex: "0" }, pretty(found.data))];
  return make("div", {}, ...(found.summary === null ? [] : [make("p", {}, found.summary)]), ...data);
}

/** @param {any} call */
function lastMoment(call) {
  const moments = [...call.transcript, ...call.tools].map((/** @type {any} */ each) => each.ended_ms);
  if (Array.isArray(call.marks)) moments.push(...call.marks.map((/** @type {any} */ mark) => mark.at_ms));
  return Math.max(call.started_ms, ...moments);
}

/** @param {any} call @param {any} tool */
function toolOf(call, tool) {
  const bad = tool.outcome !== "result";
  const took = milliseconds(tool.ended_ms - tool.started_ms);
  return make("details", { class: "tool", "data-state": bad ? "failed" : "done" },
    make("summary", {}, make("span", { class: "tool-name" }, tool.name), make("span", { class: "tool-state figure" }, `${clock(tool.started_ms - call.started_ms)} · ${bad ? `${words(tool.outcome)} · ` : ""}${took}`)),
    make("h4", {}, "Arguments"), make("pre", { tabindex: "0" }, pretty(tool.arguments)),
    make("h4", {}, "Result"), make("pre", { tabindex: "0" }, pretty(tool.result)));
}

/** @param {unknown} value */
const pretty = (value) => (value === null || value === undefined ? "none" : JSON.stringify(value, null, 2));

/** @param {any} told */
function tokens(told) {
  const sum = (/** @type {any} */ kinds) => Object.values(kinds ?? {}).reduce((total, count) => total + Number(count), 0);
  return told ? `${sum(told.prompt).toLocaleString("en-GB")} in, ${sum(told.response).toLocaleString("en-GB")} out` : "–";
}

/** @param {any} call */
function eventList(call) {
  const { events } = timeline(call);
  if (!events.length) return null;
  return make("ol", { class: "events" }, ...events.map((event) =>
    make("li", {}, make("span", { class: "figure quiet" }, clock(event.at)), make("span", {}, event.name), make("span", { class: "quiet" }, event.detail))));
}

/** @param {any} call */
function counters(call) {
  const counted = Object.entries(call.stats ?? {});
  if (!counted.length) return null;
  return make("details", {}, make("summary", {}, "What was counted"),
    make("dl", { class: "counters" }, ...counted.map(([name, value]) => make("div", {}, make("dt", {}, words(name)), make("dd", {}, String(value))))));
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

