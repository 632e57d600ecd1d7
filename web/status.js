/** What the page says of the call and the agent, and the buttons that start and end a call. */

import { byId } from "./dom.js";
import { CALL_WORDS, headline } from "./state.js";

/** @typedef {import("./state.js").AgentState} AgentState */
/** @typedef {import("./state.js").CallState} CallState */

export class Status {
  /** @type {AgentState | null} null outside a call */
  agent = null;
  /** @type {CallState} */
  #call = "idle";
  #hint = "";
  #connect = byId("connect", HTMLButtonElement);
  #hangup = byId("hangup", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #pill = byId("call-state", HTMLElement);
  #pillWords = byId("call-words", HTMLElement);
  #headline = byId("agent-state", HTMLElement);
  #reason = byId("call-reason", HTMLElement);

  /**
   * @param {import("./call.js").StateChange} change
   * @param {string} duration how long the call lasted, if it is over and there was one
   */
  showCall({ state, reason, title }, duration) {
    const busy = state === "connecting" || state === "connected" || state === "reconnecting";
    const hadFocus = document.activeElement === this.#connect || document.activeElement === this.#hangup;
    this.#call = state;
    document.body.dataset.call = this.#pill.dataset.state = state;
    this.#pill.dataset.reason = reason;
    this.#pillWords.textContent = CALL_WORDS[state];
    this.#connect.hidden = busy;
    this.#hangup.hidden = !busy;
    if (hadFocus) (busy ? this.#hangup : this.#connect).focus();
    this.showReason(state === "connected" ? title || this.#hint : duration ? `${title} after ${duration}` : title);
    this.showAgent(busy ? this.agent : null);
  }

  /** @param {AgentState | null} agent */
  showAgent(agent) {
    this.agent = agent;
    this.#headline.dataset.state = document.body.dataset.agent = agent ?? "idle";
    this.#headline.textContent = headline(agent, this.#call);
    this.#stop.hidden = agent !== "speaking";
  }

  /** @param {string} words below the headline */
  showReason(words) {
    this.#reason.textContent = words;
  }

  /** @param {string} words shown while there is nothing else to say in a call that is connected */
  showHint(words) {
    this.#hint = words;
    if (this.#call === "connected") this.showReason(words);
  }
}
