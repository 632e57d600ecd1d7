/**
 * The list of earlier calls. Pages are fetched as they are scrolled to, and only the rows that can be seen are in the
 * document, so that 100,000 calls scroll like ten.
 */

import { byId, emit, make } from "../dom.js";
import { clock, counted, when, words, who } from "./format.js";

const ROW_PX = 68;
const [FIRST_PAGE, PAGE] = [100, 500];
const MARGIN_ROWS = 6;
const AHEAD_ROWS = 80;

/** Events: `open` with a call's id; `problem` with what went wrong. */
export class CallList extends EventTarget {
  #box = byId("list", HTMLElement);
  #space = byId("list-space", HTMLElement);
  #state = byId("list-state", HTMLElement);
  #fetch;
  /** @type {Record<string, string>} */
  #filters = {};
  /** @type {any[]} */
  #calls = [];
  /** @type {Map<string, any>} */
  #byId = new Map();
  /** @type {string | null} */
  #next = null;
  #done = false;
  #loading = false;
  #round = 0; // counts changes of the filters: an answer to older ones does not count
  #active = 0;
  #open = "";
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map();
  #drawing = 0;

  /** @param {(filters: Record<string, string>, before: string | null, limit: number) => Promise<any>} fetch */
  constructor(fetch) {
    super();
    this.#fetch = fetch;
    this.#box.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#box.addEventListener("keydown", (event) => this.#press(event));
    this.#box.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#draw()).observe(this.#box);
  }

  get length() {
    return this.#calls.length;
  }

  /** @param {Record<string, string>} filters */
  async show(filters) {
    this.#filters = filters;
    this.#round += 1;
    this.#reset();
    this.#box.scrollTop = 0;
    this.#state.textContent = "Looking…";
    await this.#more();
  }

  clear() {
    this.#round += 1;
    this.#done = true;
    this.#reset();
    this.#state.textContent = "";
  }

  /** Puts new calls on top, unless somebody reads further down. */
  async refresh() {
    if (this.#loading || this.#box.scrollTop > ROW_PX || this.#filters.q) return;
    const round = this.#round;
    const page = await this.#fetch(this.#filters, null, 50);
    if (round !== this.#round || this.#loading) return;
    const fresh = page.calls.filter((/** @type {any} */ call) => !this.#byId.has(call.id));
    if (fresh.length === page.calls.length && fresh.length === 50) return void this.show(this.#filters);
    for (const call of page.calls) Object.assign(this.#byId.get(call.id) ?? {}, call);
    for (const call of fresh) this.#byId.set(call.id, call);
    if (fresh.length) this.#active += this.#active ? fresh.length : 0;
    this.#calls.unshift(...fresh);
    this.#redraw();
    this.#tell();
  }

  /** @param {string} id */
  forget(id) {
    const at = this.#calls.findIndex((call) => call.id === id);
    if (at < 0) return;
    this.#calls.splice(at, 1);
    this.#byId.delete(id);
    this.#active = Math.min(this.#active, Math.max(0, this.#calls.length - 1));
    this.#redraw();
    this.#tell();
  }

  /** Marks the call that is open. @param {string} id */
  mark(id) {
    this.#open = id;
    const at = this.#calls.findIndex((call) => call.id === id);
    if (at >= 0) this.#active = at;
    this.#redraw();
  }

  focus() {
    this.#box.focus();
  }

  #reset() {
    this.#calls = [];
    this.#byId.clear();
    this.#next = null;
    this.#active = 0;
    if (this.#round) this.#done = false;
    this.#redraw();
  }

  async #more() {
    if (this.#loading && this.#calls.length) return;
    const round = this.#round;
    this.#loading = true;
    try {
      const page = await this.#fetch(this.#filters, this.#next, this.#next ? PAGE : FIRST_PAGE);
      if (round !== this.#round) return;
      for (const call of page.calls) this.#add(call);
      this.#next = page.next;
      this.#done = page.next === null;
    } catch (problem) {
      if (round !== this.#round) return;
      this.#done = true;
      emit(this, "problem", problem);
    } finally {
      if (round === this.#round) this.#loading = false;
    }
    if (this.#done) this.#redraw(); // now the rows can say of how many they are
    else this.#grow();
    this.#tell();
  }

  /** A call that a search has found on two pages is shown once. @param {any} call */
  #add(call) {
    const known = this.#byId.get(call.id);
    if (known) {
      known.hits?.push(...(call.hits ?? []));
      return;
    }
    this.#byId.set(call.id, call);
    this.#calls.push(call);
  }

  #tell() {
    const more = this.#done ? "" : " and more";
    const found = Object.keys(this.#filters).length > 0;
    this.#state.textContent = this.#calls.length
      ? `${this.#calls.length.toLocaleString("en-GB")} ${this.#calls.length === 1 ? "call" : "calls"}${more}`
      : found ? "No call fits." : "No calls yet.";
  }

  #redraw() {
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#grow();
  }

  #grow() {
    this.#space.style.height = `${this.#calls.length * ROW_PX}px`;
    this.#drawNow();
  }

  #draw() {
    if (!this.#drawing) this.#drawing = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
    const first = Math.max(0, Math.floor(this.#box.scrollTop / ROW_PX) - MARGIN_ROWS);
    const last = Math.min(this.#calls.length, Math.ceil((this.#box.scrollTop + this.#box.clientHeight) / ROW_PX) + MARGIN_ROWS);
    for (const [at, row] of this.#rows) {
      if (at >= first && at < last) continue;
      row.remove();
      this.#rows.delete(at);
    }
    for (let at = first; at < last; at += 1) {
      if (!this.#rows.has(at)) this.#rows.set(at, this.#row(at));
    }
    const active = this.#rows.get(this.#active);
    if (active) this.#box.setAttribute("aria-activedescendant", active.id);
    else this.#box.removeAttribute("aria-activedescendant");
    const near = this.#box.scrollTop + this.#box.clientHeight > (this.#calls.length - AHEAD_ROWS) * ROW_PX;
    if (near && !this.#done && !this.#loading && this.#calls.length) void this.#more();
  }

  /** @param {number} at */
  #row(at) {
    const call = this.#calls[at];
    const row = make("div", {
      id: `row-${at}`,
      role: "option",
      class: "list-row",
      "aria-selected": String(call.id === this.#open),
      "aria-posinset": String(at + 1),
      "aria-setsize": String(this.#done ? this.#calls.length : -1),
      ...(at === this.#active ? { "data-active": "" } : {}),
    },
      make("div", { class: "row-head" }, make("span", { class: "row-name" }, who(call)), make("time", { class: "quiet figure" }, when(call.started_ms))),
      make("div", { class: "row-foot" }, ...(call.hits ? [quote(call.hits)] : summary(call))),
    );
    row.style.top = `${at * ROW_PX}px`;
    row.dataset.at = String(at);
    this.#space.append(row);
    return row;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = event.target instanceof Element ? event.target.closest("[data-at]") : null;
    if (!(row instanceof HTMLElement)) return;
    this.#active = Number(row.dataset.at);
    emit(this, "open", this.#calls[this.#active].id);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const onePage = Math.max(1, Math.floor(this.#box.clientHeight / ROW_PX) - 1);
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: onePage, PageUp: -onePage, Home: -Infinity, End: Infinity };
    if (event.key in steps && this.#calls.length) {
      event.preventDefault();
      this.#active = Math.min(Math.max(0, this.#active + steps[event.key]), this.#calls.length - 1);
      const [top, bottom] = [this.#active * ROW_PX, (this.#active + 1) * ROW_PX];
      if (top < this.#box.scrollTop) this.#box.scrollTop = top;
      else if (bottom > this.#box.scrollTop + this.#box.clientHeight) this.#box.scrollTop = bottom - this.#box.clientHeight;
      this.#redraw();
    } else if ((event.key === "Enter" || event.key === " ") && this.#calls[this.#active]) {
      event.preventDefault();
      emit(this, "open", this.#calls[this.#active].id);
    }
  }
}

/** @param {any} call */
function summary(call) {
  const ended = call.state === "running" ? "Running" : words(String(call.reason ?? call.state));
  const lasted = call.ended_ms === null ? "" : clock(call.ended_ms - call.started_ms);
  const figures = [lasted, call.state === "running" ? "" : counted(call.turns, "turn"), call.recording?.state === "stored" ? "recorded" : ""];
  return [
    make("span", { class: "reason", "data-bad": String(isBad(call)), "data-state": String(call.state) }, ended),
    make("span", { class: "row-figures figure" }, figures.filter(Boolean).join(" · ")),
  ];
}

const GOOD = ["hung_up", "caller_left", "budget_spent", "idle", "max_duration", "daily_budget_spent", "daily_minutes_used"];

/** @param {any} call */
export const isBad = (call) => call.state === "crashed" || (call.reason !== null && !GOOD.includes(call.reason));

/** @param {any[]} hits */
function quote(hits) {
  const [hit] = hits;
  const more = hits.length > 1 ? ` (and ${hits.length - 1} more)` : "";
  return make("span", { class: "quote" }, make("span", { class: "quiet" }, hit.speaker === "agent" ? "Agent: " : "Caller: "), `${hit.text}${more}`);
}
