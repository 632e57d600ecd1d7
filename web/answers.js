/** What the waits for the newest answers were spent on: a bar for each. `stageParts` is pure. */

import { make } from "./dom.js";
import { isRecord } from "./rtvi.js";

const SHOWN = 8;
/** @type {[name: string, words: string][]} the stages in order, see docs/events.md */
const STAGES = [
  ["uplink", "sent to the model"],
  ["model", "model"],
  ["tools", "tools"],
  ["voice", "its voice"],
  ["downlink", "sent to you"],
];

/** @typedef {{name: string, words: string, ms: number}} Part */

export class Answers {
  /** @param {HTMLElement} list an ol */
  constructor(list) {
    this.list = list;
  }

  /** A new call begins. */
  begin() {
    this.list.replaceChildren();
    this.list.hidden = true;
  }

  /** @param {Record<string, unknown>} data of a server-message */
  on(data) {
    const parts = data.type === "agent-responded" ? stageParts(data.stages) : [];
    if (!parts.length) return;
    const words = parts.map((part) => `${part.words} ${msWords(part.ms)}`).join(", ");
    const bar = make("span", { class: "stages", "aria-hidden": "true" }, ...parts.map(segment));
    this.list.append(make("li", { title: words }, bar, make("span", {}, `${msWords(Number(data.response_ms))}: ${words}`)));
    while (this.list.children.length > SHOWN) this.list.firstElementChild?.remove();
    this.list.hidden = false;
  }
}

/** @param {Part} part */
function segment({ name, ms }) {
  const element = make("span", { "data-stage": name });
  element.style.flexGrow = String(ms);
  return element;
}

/**
 * @param {unknown} stages of an agent-responded
 * @returns {Part[]} those that took any time, in order; empty if it tells none
 */
function stageParts(stages) {
  if (!isRecord(stages)) return [];
  return STAGES.map(([name, words]) => ({ name, words, ms: Number(stages[`${name}_ms`]) })).filter(({ ms }) => ms > 0);
}

/** @param {number} ms */
function msWords(ms) {
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
