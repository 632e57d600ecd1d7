/** What the call has used and cost so far, and the limits that are near. `usageRows` is pure. */

import { make } from "./dom.js";
import { isRecord } from "./rtvi.js";
import { clockWords } from "./state.js";

/** @typedef {{usage: Record<string, unknown>, limits: Map<unknown, Record<string, unknown>>, sessions: number}} Account */

export class Usage {
  /** @type {Account} */
  #account = blank();

  /**
   * @param {HTMLElement} list a dl
   * @param {HTMLElement} brief shows the totals
   */
  constructor(list, brief) {
    this.list = list;
    this.brief = brief;
  }

  /** A new call begins: everything is counted from zero. */
  begin() {
    this.#account = blank();
    this.#show();
  }

  /** @param {Record<string, unknown>} data of a server-message */
  on(data) {
    if (data.type === "usage-reported") this.#account.usage = data;
    else if (data.type === "limit-near") this.#account.limits.set(data.kind, data);
    else if (data.type === "session-replaced") this.#account.sessions++;
    else return;
    this.#show();
  }

  #show() {
    const rows = usageRows(this.#account);
    this.list.replaceChildren(...rows.map(([name, words]) => make("div", {}, make("dt", {}, name), make("dd", {}, words))));
    this.list.hidden = !rows.length;
    this.brief.textContent = briefWords(this.#account.usage);
  }
}

/** @returns {Account} */
function blank() {
  return { usage: {}, limits: new Map(), sessions: 1 };
}

/**
 * @param {Account} account
 * @returns {[string, string][]} names and values; empty before the first turn
 */
function usageRows({ usage, limits, sessions }) {
  /** @type {[string, string][]} */
  const rows = [];
  const tokens = isRecord(usage.tokens) ? usage.tokens : null;
  if (tokens) {
    rows.push(["Tokens read", tokenWords(tokens.prompt)], ["Tokens said", tokenWords(tokens.response)]);
    rows.push(["Cost so far", typeof usage.cost_usd === "number" ? costWords(usage.cost_usd) : "no price known"]);
  }
  for (const limit of limits.values()) rows.push(limitRow(limit));
  if (sessions > 1) rows.push(["Model sessions", String(sessions)]);
  return rows;
}

/** @param {Record<string, unknown>} usage */
function briefWords({ tokens, cost_usd: cost }) {
  if (!isRecord(tokens)) return "";
  const all = `${(total(tokens.prompt) + total(tokens.response)).toLocaleString("en")} tokens`;
  return typeof cost === "number" ? `${all} · ${costWords(cost)}` : all;
}

/** @param {unknown} counts by modality */
function total(counts) {
  return Object.values(isRecord(counts) ? counts : {}).reduce((/** @type {number} */ sum, one) => sum + Number(one), 0);
}

/** @param {unknown} counts by modality, such as {AUDIO: 812} */
function tokenWords(counts) {
  const parts = Object.entries(isRecord(counts) ? counts : {}).filter(([, count]) => Number(count) > 0);
  return parts.map(([name, count]) => `${Number(count).toLocaleString("en")} ${name.toLowerCase()}`).join(", ") || "none";
}

/** @param {number} usd */
function costWords(usd) {
  return `$${usd.toFixed(usd < 0.1 ? 4 : 2)}`;
}

/**
 * @param {Record<string, unknown>} limit
 * @returns {[string, string]}
 */
function limitRow({ kind, used, limit }) {
  const [have, all] = [Number(used), Number(limit)];
  if (kind === "budget") return ["Budget", `${costWords(have)} of ${costWords(all)}`];
  return [kind === "idle" ? "Silence" : "Duration", `${clockWords(have)} of ${clockWords(all)}`];
}
