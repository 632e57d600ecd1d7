/** How well caller and agent heard each other over the course of a call, and how long answers took. */

import { make } from "../dom.js";
import { clock, milliseconds } from "./format.js";
import { WIDTH, answers, draw, quality, title } from "./plots.js";

const [HEIGHT, MARGIN] = [40, 3];
const WINDOW_MS = 10_000; // an estimate stands for the ten seconds before it
const SIDES = ["From the caller", "To the caller"];

/** @typedef {{at: number, [figure: string]: any}} Window */
/** @typedef {{name: string, unit: string, figures: string[], from?: number, to: number, digits: number}} Plot */

/** What is drawn; the scale reaches at least to `to`. @type {Plot[]} */
const PLOTS = [
  { name: "Quality (MOS, estimated)", unit: "", figures: ["mos_in", "mos_out"], from: 1, to: 4.5, digits: 1 },
  { name: "Loss", unit: " %", figures: ["loss_in_percent", "loss_out_percent"], to: 1, digits: 1 },
  { name: "Jitter", unit: " ms", figures: ["jitter_in_ms", "jitter_out_ms"], to: 10, digits: 0 },
  { name: "Round-trip time", unit: " ms", figures: ["rtt_ms"], to: 100, digits: 0 },
];

/** @param {Plot} plot @param {unknown} value */
const written = (plot, value) => (typeof value === "number" ? `${value.toFixed(plot.digits)}${plot.unit}` : "–");

/** The plots, and the same figures as a table; a running call's can be shown again without losing the reader's place. */
export class QualityPlots {
  #plots = make("div", { class: "plots" });
  #rows = make("tbody");
  #table;
  element;

  constructor() {
    const columns = ["At", ...PLOTS.flatMap(({ name, figures }) => figures.map((_, side) => (figures.length > 1 ? `${name}, ${SIDES[side].toLowerCase()}` : name)))];
    const head = make("thead", {}, make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column))));
    const box = make("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Quality as a table" }, make("table", { class: "qualities" }, head, this.#rows));
    this.#table = make("details", {}, make("summary", {}, "As a table"), box);
    this.element = make("section", { class: "part quality" }, make("h3", {}, "Quality over time"), this.#plots, this.#table);
  }

  /** @param {any} call @param {number} lengthMs */
  show(call, lengthMs) {
    const [windows, waits] = [quality(call), answers(call)];
    this.element.hidden = !windows.length && !waits.length;
    this.#table.hidden = !windows.length;
    const end = make("div", { class: "axis quiet figure", "aria-hidden": "true" }, make("span", {}, "0:00"), make("span", {}, clock(lengthMs)));
    const drawn = windows.length ? PLOTS.map((plot) => lines(plot, windows, lengthMs)) : [];
    this.#plots.replaceChildren(...(windows.length ? [legend()] : []), ...drawn, ...(waits.length ? [bars(waits, lengthMs)] : []), end);
    this.#rows.replaceChildren(...windows.map((window) => make("tr", {},
      make("th", { scope: "row", class: "figure" }, clock(window.at)),
      ...PLOTS.flatMap((plot) => plot.figures.map((figure) => make("td", { class: "figure" }, written(plot, window[figure])))))));
  }
}

/** @param {number} at @param {number} lengthMs */
const across = (at, lengthMs) => (WIDTH * Math.min(Math.max(0, at), lengthMs)) / Math.max(1, lengthMs);

/** @param {string} name @param {string} scale @param {string} told @param {...Node} parts */
function chart(name, scale, told, ...parts) {
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "plot", role: "img", "aria-label": `${name}: ${told}` };
  return make("div", {}, make("div", { class: "axis quiet figure", "aria-hidden": "true" }, make("span", {}, name), make("span", {}, scale)), draw("svg", box, ...parts));
}

/** @param {Plot} plot @param {Window[]} windows @param {number} lengthMs */
function lines(plot, windows, lengthMs) {
  const values = plot.figures.map((figure) => windows.map((window) => window[figure]).filter((value) => typeof value === "number"));
  const [least, most] = [plot.from ?? 0, Math.max(plot.to, ...values.flat())];
  const drawn = plot.figures.map((figure, side) => draw("path", { d: steps(windows, figure, lengthMs, least, most), class: `side-${side}` }));
  const told = values.map((found, side) => {
    const whose = plot.figures.length > 1 ? `${SIDES[side].toLowerCase()} ` : "";
    if (!found.length) return `${whose}not known`;
    const [low, high] = [Math.min(...found), Math.max(...found)].map((value) => written(plot, value));
    return low === high ? `${whose}${low}` : `${whose}${low} to ${high}`;
  });
  return chart(plot.name, `${least} to ${written({ ...plot, digits: Number.isInteger(most) ? 0 : plot.digits }, most)}`, told.join("; "), ...drawn);
}

/** A level stretch for each window, and a gap where nothing is known. @param {Window[]} windows @param {string} figure @param {number} lengthMs @param {number} least @param {number} most */
function steps(windows, figure, lengthMs, least, most) {
  let [path, reached] = ["", -1];
  for (const window of windows) {
    if (typeof window[figure] !== "number") continue;
    const begin = Math.max(reached, window.at - WINDOW_MS);
    const y = HEIGHT - MARGIN - ((HEIGHT - 2 * MARGIN) * (window[figure] - least)) / (most - least);
    const joined = reached >= 0 && window.at - WINDOW_MS - reached < WINDOW_MS / 2; // windows are never exactly on time
    path += `${joined ? "L" : "M"}${across(joined ? reached : begin, lengthMs).toFixed(1)} ${y.toFixed(1)}H${across(window.at, lengthMs).toFixed(1)}`;
    reached = window.at;
  }
  return path;
}

/** @param {{at: number, ms: number}[]} waits @param {number} lengthMs */
function bars(waits, lengthMs) {
  const longest = Math.max(...waits.map(({ ms }) => ms));
  const drawn = waits.map(({ at, ms }) => {
    const height = Math.max(1, ((HEIGHT - MARGIN) * ms) / Math.max(1, longest));
    return draw("rect", { x: Math.min(across(at, lengthMs), WIDTH - 4), y: HEIGHT - height, width: 4, height, class: "wait" }, title(`${clock(at)}: ${milliseconds(ms)}`));
  });
  const shortest = Math.min(...waits.map(({ ms }) => ms));
  const told = `${waits.length} ${waits.length === 1 ? "answer" : "answers"}, ${milliseconds(shortest)} to ${milliseconds(longest)}`;
  return chart("Response time", `0 to ${milliseconds(longest)}`, told, ...drawn);
}

function legend() {
  const keys = SIDES.map((name, side) => make("span", {}, draw("svg", { viewBox: "0 0 20 10", class: "key line", "aria-hidden": "true" }, draw("path", { d: "M0 5H20", class: `side-${side}` })), name));
  return make("p", { class: "legend quiet" }, ...keys);
}
