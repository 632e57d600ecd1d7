/** One line that tells of the agent's connection to its model, and of limits. `noticeOf` is pure. */

import { clockWords } from "./state.js";
import { text } from "./rtvi.js";

/** @typedef {{words: string, holdMs: number, tone: "wait" | "good" | "note"}} Notice */

const READING_MS = 8000;

export class Notices {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #lost = false;

  /** @param {HTMLElement} line a status region */
  constructor(line) {
    this.line = line;
  }

  /** @param {Record<string, unknown>} data of a server-message */
  on(data) {
    const notice = noticeOf(data, this.#lost);
    if (data.type === "session-lost") this.#lost = true;
    else if (data.type === "session-replaced") this.#lost = false;
    if (notice) this.#show(notice);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#lost = false;
    this.line.hidden = true;
    this.line.textContent = "";
  }

  /** @param {Notice} notice */
  #show({ words, holdMs, tone }) {
    clearTimeout(this.#timer);
    this.line.textContent = words;
    this.line.dataset.tone = tone;
    this.line.hidden = false;
    if (holdMs < Infinity) this.#timer = setTimeout(() => this.#hide(), holdMs);
  }

  #hide() {
    this.line.hidden = true;
    this.line.textContent = "";
  }
}

/**
 * @param {Record<string, unknown>} data of a server-message
 * @param {boolean} lost whether the session before was lost; a planned replacement is not shown
 * @returns {Notice | null} null: nothing to say
 */
function noticeOf(data, lost) {
  switch (data.type) {
    case "session-lost":
      return { words: "Reconnecting to the model…", holdMs: Infinity, tone: "wait" };
    case "session-replaced":
      return lost ? { words: "The agent is back.", holdMs: 3000, tone: "good" } : null;
    case "context-rebuilt":
      return { words: "The agent was reminded of what was said.", holdMs: READING_MS, tone: "note" };
    case "context-lost":
      return { words: "The agent has forgotten what was said so far.", holdMs: 2 * READING_MS, tone: "note" };
    case "input-refused":
      // Of the rest (notes, results of tools, history) the caller has done nothing that could be put in another way.
      return data.what === "text" || data.what === "speech"
        ? { words: "The model refused that. Please put it another way.", holdMs: READING_MS, tone: "note" }
        : null;
    case "agent-fell-silent":
      return data.step === "apologise"
        ? { words: "Sorry, there is no answer to that. Please ask again.", holdMs: READING_MS, tone: "note" }
        : null;
    case "limit-near":
      return { words: nearWords(data), holdMs: READING_MS, tone: "note" };
    default:
      return null;
  }
}

/** @param {Record<string, unknown>} data of a limit-near */
function nearWords({ kind, used, limit }) {
  const left = clockWords(Number(limit) - Number(used));
  if (kind === "idle") return `Nobody has spoken for a while. The call ends in ${left}.`;
  if (kind === "max_duration") return `The call ends in ${left}.`;
  return kind === "budget" ? "Most of this call's budget is used." : `Most of a limit is used: ${text(kind)}.`;
}
