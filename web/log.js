/** The event log: everything that was sent and received, for those who want to look under the bonnet. */

import { make } from "./dom.js";

const KEPT = 500;
const ARROWS = { caller: "↑", service: "↓", page: "·" };

export class Log {
  /** @type {{line: string, row: HTMLElement}[]} */
  #entries = [];
  #needle = "";
  #startMs = performance.now();

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} count
   */
  constructor(list, count) {
    this.list = list;
    this.count = count;
  }

  /** @param {import("./call.js").LogEntry} entry */
  add({ from, type, data }) {
    const at = ((performance.now() - this.#startMs) / 1000).toFixed(3);
    const rest = data === undefined || (typeof data === "object" && data && !Object.keys(data).length) ? "" : JSON.stringify(data);
    const row = make("li", { class: "log-row", "data-from": from },
      make("span", { class: "log-time" }, at),
      make("span", { class: "log-arrow", title: from }, ARROWS[from]),
      make("span", { class: "log-type" }, type),
      make("span", { class: "log-data" }, rest));
    const line = `${at} ${from} ${type} ${rest}`.trimEnd();
    row.hidden = !this.#matches(line);
    this.#entries.push({ line, row });
    const follow = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 24;
    this.list.append(row);
    if (this.#entries.length > KEPT) this.#entries.shift()?.row.remove();
    if (follow) this.list.scrollTop = this.list.scrollHeight;
    this.count.textContent = String(this.#entries.length);
  }

  /** @param {string} needle words to look for; only rows that have them are shown and copied */
  filter(needle) {
    this.#needle = needle.trim().toLowerCase();
    for (const { line, row } of this.#entries) row.hidden = !this.#matches(line);
  }

  /** @returns {string} the rows shown, one a line */
  text() {
    return this.#entries.filter(({ row }) => !row.hidden).map(({ line }) => line).join("\n");
  }

  clear() {
    this.#entries = [];
    this.list.replaceChildren();
    this.count.textContent = "0";
  }

  /** @param {string} line */
  #matches(line) {
    return line.toLowerCase().includes(this.#needle);
  }
}
