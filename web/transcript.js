/** What both sides said: turns are replaced in place while they grow; between them are tool calls, sources and pictures. */

import { make } from "./dom.js";
import { text } from "./rtvi.js";
import { sourcesOf } from "./sources.js";

/** @typedef {{row: HTMLElement, body: HTMLElement, revision: number}} Turn */

export class Transcript {
  /** @type {Map<string, Turn>} */
  #turns = new Map();
  /** @type {Map<string, HTMLElement>} */
  #tools = new Map();
  /** Typed turns the service has not confirmed yet, oldest first. @type {string[]} */
  #typed = [];
  /** True once the caller has interrupted the agent, in any call. */
  interrupted = false;

  /**
   * @param {HTMLElement} list shows the turns; not a live region: unfinished turns would be read again and again
   * @param {HTMLElement} announcer live region that is given the finished turns
   * @param {HTMLElement} latest button that leads back to the newest turn
   */
  constructor(list, announcer, latest) {
    this.list = list;
    this.announcer = announcer;
    this.latest = latest;
    list.addEventListener("scroll", () => (latest.hidden = this.#atEnd()));
    latest.addEventListener("click", () => this.#follow());
    new ResizeObserver(() => latest.hidden && this.#follow()).observe(list);
  }

  /** A new call begins: earlier ones stay above a line. */
  begin() {
    const last = this.list.lastElementChild;
    if (last && !last.classList.contains("divider")) {
      this.list.append(make("li", { class: "divider" }, "New call"));
    }
    this.#turns.clear();
    this.#tools.clear();
    this.#typed = [];
  }

  /** The call is over: what is unfinished stays so. */
  finish() {
    for (const { row } of this.#turns.values()) row.dataset.final = "true";
    for (const card of this.#tools.values()) if (card.dataset.state === "running") setToolState(card, "cancelled");
  }

  /** @param {import("./rtvi.js").Message} message */
  on({ type, id, data }) {
    switch (type) {
      case "user-transcription":
        return this.#onCaller(data);
      case "bot-output":
        return this.#onAgent(data);
      case "llm-function-call-started":
      case "llm-function-call-in-progress":
      case "llm-function-call-stopped":
        return this.#onTool(type, data);
      case "bot-llm-search-response":
        return this.#onSources(data);
      case "error-response":
        return this.refused(id);
    }
  }

  /**
   * Shows typed words at once. The service's echo of them then replaces this turn in place.
   * @param {string} id the message's id
   * @param {string} words
   */
  typed(id, words) {
    this.#typed.push(id);
    this.#write(this.#turn(id, "caller", true), words, "", false);
  }

  /** @param {Record<string, unknown>} data */
  #onCaller(data) {
    const id = text(data.turn_id) || "caller";
    const mine = data.typed === true && !this.#turns.has(id) ? this.#typed.shift() : undefined;
    const turn = mine === undefined ? undefined : this.#turns.get(mine);
    if (mine !== undefined && turn) {
      this.#turns.delete(mine);
      this.#turns.set(id, turn);
      turn.row.dataset.turn = id;
    }
    this.#revise(id, "caller", data, text(data.text), "", data.final === true, data.typed === true);
  }

  /** @param {Record<string, unknown>} data */
  #onAgent(data) {
    const unheard = data.interrupted === true ? text(data.unheard_text) : "";
    const final = data.spoken_status === "completed" || data.interrupted === true;
    const id = text(data.segment_id) || "agent";
    const turn = this.#revise(id, "agent", data, text(data.text), unheard, final, false);
    if (data.interrupted !== true) return;
    this.interrupted = true;
    if (turn) turn.row.dataset.interrupted = "true";
  }

  /**
   * @param {string} id
   * @param {"caller" | "agent"} speaker
   * @param {Record<string, unknown>} data
   * @param {string} words
   * @param {string} unheard
   * @param {boolean} final
   * @param {boolean} typed
   */
  #revise(id, speaker, data, words, unheard, final, typed) {
    const revision = Number(data.revision ?? 0);
    const known = this.#turns.get(id);
    if (!known && !words && !unheard) return undefined; // a noise without words
    const turn = known ?? this.#turn(id, speaker, typed);
    if (revision < turn.revision) return undefined;
    turn.revision = revision;
    this.#write(turn, words, unheard, final);
    return turn;
  }

  /**
   * @param {string} id
   * @param {"caller" | "agent"} speaker
   * @param {boolean} typed
   * @returns {Turn}
   */
  #turn(id, speaker, typed) {
    const body = make("p", { class: "words" });
    const name = make("span", { class: "speaker" }, speaker === "agent" ? "Agent" : "You");
    if (typed) name.append(make("span", { class: "hint" }, " typed"));
    const row = make("li", { class: "turn", "data-turn": id, "data-speaker": speaker, "data-interrupted": "false" }, name, body);
    const turn = { row, body, revision: 0 };
    this.#turns.set(id, turn);
    this.#add(row);
    return turn;
  }

  /**
   * @param {Turn} turn
   * @param {string} words
   * @param {string} unheard
   * @param {boolean} final
   */
  #write(turn, words, unheard, final) {
    const follow = this.latest.hidden;
    const wasFinal = turn.row.dataset.final === "true";
    turn.row.dataset.final = String(final);
    turn.body.replaceChildren(words);
    if (unheard) {
      const gap = words && !/\s$/.test(words) && !/^\s/.test(unheard) ? " " : "";
      turn.body.append(gap, make("del", { title: "You interrupted before this was spoken" }, unheard));
    }
    if (final && !wasFinal && words) {
      const who = turn.row.dataset.speaker === "agent" ? "Agent" : "You";
      this.#announce(`${who}: ${words}`);
    }
    if (follow) this.#follow();
  }

  /** @param {string} words */
  #announce(words) {
    this.announcer.append(make("p", {}, words));
    while (this.announcer.childElementCount > 3) this.announcer.firstElementChild?.remove();
  }

  /**
   * @param {string} type
   * @param {Record<string, unknown>} data
   */
  #onTool(type, data) {
    const id = text(data.tool_call_id);
    if (!id) return; // "-started" has no call id yet; "-in-progress" follows at once
    let card = this.#tools.get(id);
    if (!card) {
      card = make("li", { class: "tool", "data-tool": id },
        make("details", {},
          make("summary", {}, make("span", { class: "tool-name" }, "Tool"), make("span", { class: "tool-state" })),
          make("pre", { class: "tool-arguments" }), make("pre", { class: "tool-result" })));
      setToolState(card, "running");
      this.#tools.set(id, card);
      this.#add(card);
    }
    put(card, ".tool-name", text(data.function_name) || "Tool");
    put(card, ".tool-arguments", pretty("Asked", data.arguments));
    if (type === "llm-function-call-stopped") {
      put(card, ".tool-result", pretty("Answered", data.result));
      // The result comes only with the setting `tool_reports` full; the outcome always does, but for `none`.
      const failed = data.outcome === "error" || data.outcome === "timeout";
      setToolState(card, data.cancelled === true ? "cancelled" : failed ? "failed" : "done");
    }
  }

  /** @param {Record<string, unknown>} data */
  #onSources(data) {
    const links = sourcesOf(data).map(({ title, href }) =>
      make("a", { href, target: "_blank", rel: "noopener noreferrer" }, title));
    if (links.length) this.#add(make("li", { class: "sources" }, make("span", { class: "speaker" }, "Sources"), ...links));
  }

  /** @returns {HTMLElement} a row in which a picture of the agent's will be shown */
  addPicture() {
    const row = make("li", { class: "turn picture", "data-speaker": "agent" }, make("span", { class: "speaker" }, "Agent"),
      make("p", { class: "hint" }, "Loading the picture…"));
    this.#add(row);
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {HTMLImageElement | string} content the picture, or a sentence that says why there is none
   */
  fillPicture(row, content) {
    const follow = this.latest.hidden;
    row.lastElementChild?.replaceWith(typeof content === "string" ? make("p", { class: "hint" }, content) : content);
    if (typeof content !== "string") this.#announce("Agent sent a picture.");
    if (follow) this.#follow();
  }

  /** @param {string} id of a request that the service could not carry out */
  refused(id) {
    if (!this.#typed.includes(id)) return;
    this.#typed = this.#typed.filter((one) => one !== id);
    this.#turns.get(id)?.row.querySelector(".hint")?.replaceChildren(" not delivered");
  }

  /** @param {HTMLElement} row */
  #add(row) {
    const follow = this.latest.hidden;
    this.list.append(row);
    if (follow) this.#follow();
  }

  #atEnd() {
    return this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 48;
  }

  #follow() {
    this.list.scrollTop = this.list.scrollHeight;
    this.latest.hidden = true;
  }
}

/** @type {Record<string, string>} */
const TOOL_WORDS = { running: "Running…", done: "Done", failed: "Failed", cancelled: "Cancelled" };

/**
 * @param {HTMLElement} card
 * @param {string} state
 */
function setToolState(card, state) {
  card.dataset.state = state;
  put(card, ".tool-state", TOOL_WORDS[state] ?? state);
}

/**
 * @param {HTMLElement} card
 * @param {string} selector
 * @param {string} words
 */
function put(card, selector, words) {
  if (words) card.querySelector(selector)?.replaceChildren(words);
}

/**
 * @param {string} label
 * @param {unknown} value
 */
function pretty(label, value) {
  return value === undefined || value === null ? "" : `${label}: ${JSON.stringify(value, null, 2)}`;
}
