/** What happened when, as plots; the figures are always there as text too. */

import { make } from "../dom.js";
import { clock, milliseconds, words } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
/** In the order in which they follow each other; see docs/events.md. @type {Record<string, string>} */
const STAGES = { uplink_ms: "Uplink", model_ms: "Model", tools_ms: "Tools", voice_ms: "Voice", downlink_ms: "Downlink" };
/** @type {Record<string, string>} */
const SET_UP = { answer_ms: "Answer", media_ms: "Media", agent_ms: "Live session", first_audio_ms: "First words" };

/** The instants of the set-up. @type {Record<string, string>} */
const INSTANTS = {
  offer: "Offer came", answer: "Offer answered", ice: "Connected", dtls: "Encrypted", first_rtp: "First packet of the caller",
  live_ready: "Live session ready", first_agent_audio: "Agent first heard",
};

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...Node} children */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {string} text */
const title = (text) => {
  const element = document.createElementNS(SVG, "title");
  element.textContent = text;
  return element;
};

/**
 * What the marks of a call say; all times count from its beginning, in milliseconds.
 * @param {any} call
 * @returns {{setUp: Record<string, number | null> | null, turns: {at: number, stages: any}[], events: {at: number, name: string, detail: string, notable: boolean}[]}}
 */
export function timeline(call) {
  const marks = Array.isArray(call.marks) ? call.marks : [];
  const since = (/** @type {any} */ ms) => Number(ms) - call.started_ms;
  return {
    setUp: marks.find((mark) => mark.name === "set_up")?.stages ?? null,
    turns: marks.filter((mark) => mark.name === "turn" && mark.stages).map((mark) => ({ at: since(mark.asked_ms ?? mark.at_ms), stages: mark.stages })),
    events: marks.filter((mark) => !["set_up", "turn", "tool"].includes(mark.name)).map((mark) => ({
      at: since(mark.at_ms), name: INSTANTS[mark.name] ?? words(String(mark.name)), detail: String(mark.detail ?? ""), notable: "detail" in mark,
    })),
  };
}

/** Who spoke when, and when tools ran. @param {any} call @param {number} lengthMs */
export function lanes(call, lengthMs) {
  const x = (/** @type {number} */ at) => (WIDTH * Math.min(Math.max(0, at), lengthMs)) / Math.max(1, lengthMs);
  /** @type {Element[]} */
  const parts = [];
  const bar = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ y, /** @type {number} */ height, /** @type {string} */ kind, /** @type {string} */ told) =>
    parts.push(draw("rect", { x: x(from), y, width: Math.max(2, x(to) - x(from)), height, rx: 2, class: kind }, title(told)));
  for (const turn of call.transcript) {
    const [from, to] = [turn.started_ms - call.started_ms, turn.ended_ms - call.started_ms];
    const agent = turn.speaker === "agent";
    bar(from, to, agent ? 20 : 4, 12, agent ? "lane-agent" : "lane-caller", `${agent ? "Agent" : "Caller"}, ${clock(from)}`);
  }
  for (const tool of call.tools) {
    bar(tool.started_ms - call.started_ms, tool.ended_ms - call.started_ms, 36, 8, "lane-tool", tool.name);
  }
  for (const event of timeline(call).events) {
    if (!event.notable) continue;
    parts.push(draw("line", { x1: x(event.at), x2: x(event.at), y1: 0, y2: 48, class: "lane-event" }, title(event.name)));
  }
  const told = `Who spoke when in ${clock(lengthMs)}: ${call.transcript.length} turns, ${call.tools.length} tools`;
  return draw("svg", { viewBox: `0 0 ${WIDTH} 48`, preserveAspectRatio: "none", class: "lanes", role: "img", "aria-label": told }, ...parts);
}

/**
 * @param {Record<string, number | null | undefined>} stages
 * @param {Record<string, string>} names
 * @param {number} most of all bars together, in milliseconds
 */
function stacked(stages, names, most) {
  let at = 0;
  const bars = Object.entries(names).map(([stage, name]) => {
    const width = (WIDTH * (stages[stage] ?? 0)) / Math.max(1, most);
    const bar = draw("rect", { x: at, y: 0, width, height: 12, class: `stage-${stage}` }, title(`${name}: ${milliseconds(stages[stage])}`));
    at += width;
    return bar;
  });
  return draw("svg", { viewBox: `0 0 ${WIDTH} 12`, preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" }, ...bars);
}

/** @param {Record<string, number | null | undefined>} stages @param {Record<string, string>} names */
function spelled(stages, names) {
  return Object.entries(names)
    .filter(([stage]) => typeof stages[stage] === "number")
    .map(([stage, name]) => `${name} ${milliseconds(stages[stage])}`)
    .join(", ");
}

/** @param {Record<string, string>} names */
function legend(names) {
  const keys = Object.entries(names).map(([stage, name]) =>
    make("span", {}, draw("svg", { viewBox: "0 0 10 10", class: "key", "aria-hidden": "true" }, draw("rect", { width: 10, height: 10, rx: 2, class: `stage-${stage}` })), name));
  return make("p", { class: "legend quiet" }, ...keys);
}

/** How long the caller waited for each answer, and for what. @param {any} call @returns {HTMLElement | null} */
export function waits(call) {
  const { turns } = timeline(call);
  const staged = turns.length > 0;
  /** @type {{at: number, stages: any}[]} */
  const rows = staged ? turns
    : call.transcript.filter((/** @type {any} */ turn) => turn.response_ms !== null).map((/** @type {any} */ turn) => ({
      at: turn.started_ms - call.started_ms - turn.response_ms, stages: { model_ms: turn.response_ms },
    }));
  if (!rows.length) return null;
  const total = (/** @type {any} */ row) => Object.keys(STAGES).reduce((sum, stage) => sum + (row.stages[stage] ?? 0), 0);
  const most = Math.max(...rows.map(total));
  const lines = rows.map((/** @type {any} */ row) => make("tr", {},
    make("td", { class: "figure" }, clock(row.at)),
    make("td", { class: "figure" }, milliseconds(total(row))),
    make("td", { class: "bar-cell" }, stacked(row.stages, STAGES, most), make("span", { class: "unseen" }, staged ? spelled(row.stages, STAGES) : "not divided"))));
  const head = make("tr", {}, ...["At", "Wait", "Spent on"].map((name) => make("th", { scope: "col" }, name)));
  const table = make("table", { class: "waits" }, make("thead", {}, head), make("tbody", {}, ...lines));
  return make("div", {}, ...(staged ? [legend(STAGES)] : []), make("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Waits" }, table));
}

/** How long it took until the agent was heard. @param {any} call @returns {HTMLElement | null} */
export function setUp(call) {
  const stages = timeline(call).setUp;
  if (!stages || !Object.values(stages).some((ms) => typeof ms === "number")) return null;
  const total = Object.keys(SET_UP).reduce((sum, stage) => sum + (stages[stage] ?? 0), 0);
  return make("div", {}, legend(SET_UP), stacked(stages, SET_UP, total), make("p", { class: "quiet small figure" }, spelled(stages, SET_UP)));
}
