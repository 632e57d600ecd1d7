/** The calls of this moment: asked for every two seconds while the page can be seen. */

import { byId, emit, make } from "../dom.js";
import { clock, milliseconds, money, who } from "./format.js";

const EVERY_MS = 2000;
/** @type {Record<string, string>} */
const STATES = { connecting: "Connecting", listening: "Listening", thinking: "Thinking", speaking: "Speaking" };

/**
 * @typedef {{item: HTMLLIElement, who: HTMLElement, state: HTMLElement, figures: HTMLElement}} Row
 */

/** Events: `open` and `hangup` with a call's id; `problem` with what went wrong; `told` with the service's answer. */
export class LiveCalls extends EventTarget {
  #list = byId("live", HTMLUListElement);
  #count = byId("live-count", HTMLElement);
  #empty = byId("live-empty", HTMLElement);
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #ask;
  #timer = 0;

  /** @param {() => Promise<any>} ask */
  constructor(ask) {
    super();
    this.#ask = ask;
    document.addEventListener("visibilitychange", () => {
      if (this.#timer && !document.hidden) void this.start();
    });
  }

  async start() {
    clearTimeout(this.#timer);
    this.#timer = -1;
    try {
      if (!document.hidden) {
        const told = await this.#ask();
        this.#show(told.calls);
        emit(this, "told", told);
      }
    } catch (problem) {
      this.stop();
      emit(this, "problem", problem);
      return;
    }
    if (this.#timer === -1) this.#timer = window.setTimeout(() => void this.start(), EVERY_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  clear() {
    this.stop();
    this.#show([]);
  }

  /** @param {any[]} calls */
  #show(calls) {
    const ids = new Set(calls.map((call) => call.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
    for (const call of calls) {
      const row = this.#rows.get(call.id) ?? this.#add(call);
      row.state.textContent = STATES[call.state] ?? String(call.state);
      row.item.dataset.agent = call.state;
      row.figures.textContent = figures(call).join(" · ");
    }
    this.#empty.hidden = calls.length > 0;
    this.#count.textContent = calls.length ? String(calls.length) : "";
  }

  /** @param {any} call */
  #add(call) {
    const name = make("button", { class: "row-name", type: "button" }, who(call));
    const state = make("span", { class: "pill small" });
    const quality = make("span", { class: "row-figures figure" });
    const hangUp = make("button", { class: "button small danger", type: "button", "aria-label": `Hang up: ${who(call)}` }, "Hang up");
    name.addEventListener("click", () => emit(this, "open", call.id));
    hangUp.addEventListener("click", () => {
      hangUp.disabled = true;
      emit(this, "hangup", call.id);
    });
    const item = make("li", {}, make("div", { class: "row-head" }, name, state), make("div", { class: "row-foot" }, quality, hangUp));
    this.#list.append(item);
    const row = { item, who: name, state, figures: quality };
    this.#rows.set(call.id, row);
    return row;
  }
}

/** How long and how well a call goes. @param {any} call @returns {string[]} */
function figures(call) {
  const { inbound_packets: got = 0, inbound_lost_packets: lost = 0 } = call.stats ?? {};
  const sent = got + lost;
  return [
    clock(call.duration_s * 1000),
    call.connection && call.connection !== "connected" ? String(call.connection) : "",
    `${sent ? ((100 * lost) / sent).toFixed(1) : "0"} % lost`,
    call.response_ms === null ? "" : `answers in ${milliseconds(call.response_ms)}`,
    typeof call.usage?.cost_usd === "number" ? money(call.usage.cost_usd) : "",
  ].filter(Boolean);
}
