/** The event log: every message that was sent or received, for those who want to look under the bonnet. */

import { byId, make } from "./dom.js";

const KEPT = 500;
/** A picture in Base64, say. */
const LONG_BASE64 = /[\w+/=]{200,}/g;
const ARROWS = { caller: "↑", service: "↓", page: "·" };

export class Log {
  /** @type {{line: string, row: HTMLElement}[]} */
  #entries = [];
  #needle = "";
  #startMs = performance.now();
  #list = byId("event-list", HTMLElement);
  #count = byId("event-count", HTMLElement);
  #copy = byId("event-copy", HTMLButtonElement);

  constructor() {
    const filter = byId("event-filter", HTMLInputElement);
    filter.addEventListener("input", () => this.#filter(filter.value));
    this.#copy.addEventListener("click", () => void this.#copyText());
    byId("event-clear", HTMLButtonElement).addEventListener("click", () => this.#clear());
  }

  /** @param {import("./call.js").LogEntry} entry */
  add({ from, type, data }) {
    const at = ((performance.now() - this.#startMs) / 1000).toFixed(3);
    const rest = data === undefined || (typeof data === "object" && data && !Object.keys(data).length) ? "" : JSON.stringify(data, withoutBase64);
    const row = make("li", { class: "log-row", "data-from": from },
      make("span", { class: "log-time" }, at),
      make("span", { class: "log-arrow", title: from }, ARROWS[from]),
      make("span", { class: "log-type" }, type),
      make("span", { class: "log-data" }, rest));
    const line = `${at} ${from} ${type} ${rest}`.trimEnd();
    row.hidden = !this.#matches(line);
    this.#entries.push({ line, row });
    const follow = this.#list.scrollTop + this.#list.clientHeight >= this.#list.scrollHeight - 24;
    this.#list.append(row);
    if (this.#entries.length > KEPT) this.#entries.shift()?.row.remove();
    if (follow) this.#list.scrollTop = this.#list.scrollHeight;
    this.#count.textContent = String(this.#entries.length);
  }

  /** @param {string} needle words to look for; only rows that have them are shown and copied */
  #filter(needle) {
    this.#needle = needle.trim().toLowerCase();
    for (const { line, row } of this.#entries) row.hidden = !this.#matches(line);
  }

  /** Copies the rows that are shown, one a line. */
  async #copyText() {
    const text = this.#entries.filter(({ row }) => !row.hidden).map(({ line }) => line).join("\n");
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    this.#copy.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (this.#copy.textContent = "Copy"), 1500);
  }

  #clear() {
    this.#entries = [];
    this.#list.replaceChildren();
    this.#count.textContent = "0";
  }

  /** @param {string} line */
  #matches(line) {
    return line.toLowerCase().includes(this.#needle);
  }
}

/**
 * @param {string} _name
 * @param {unknown} value
 */
function withoutBase64(_name, value) {
  if (typeof value !== "string") return value;
  return value.replace(LONG_BASE64, (run) => `${run.slice(0, 40)}… (${run.length} characters)`);
}
