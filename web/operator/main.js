/** The operator's page: connects list, live calls and the view of one call. Which call is open stands behind the # of the address. */

import { byId, listen } from "../dom.js";
import { Banner } from "../banner.js";
import { Problem, key } from "../http.js";
import { KeyDialog } from "../key-dialog.js";
import { erase, hangUp, liveCalls, oneCall, page, recording } from "./api.js";
import { CallView } from "./call.js";
import { CallList } from "./list.js";
import { LiveCalls } from "./live.js";

const FOLLOW_MS = 3000; // how often a running call that is open is asked for anew
const TYPING_MS = 300;

const banner = new Banner();
const dialog = new KeyDialog();
const live = new LiveCalls(liveCalls);
const list = new CallList(page);
const view = new CallView(byId("call", HTMLElement), recording);
const lock = byId("forget-key", HTMLButtonElement);
const filters = byId("filters", HTMLFormElement);
const fields = byId("filter-fields", HTMLElement);
const eraseDialog = byId("erase-dialog", HTMLDialogElement);
const NAMES = ["q", "caller", "reason", "fault", "state", "since", "until"];

let started = false;
/** @type {boolean | null} */
let keeps = null; // whether the service keeps a history; null: not known yet
let typing = 0;
let opened = 0;
let byHand = false; // somebody chose what is about to be shown: the focus follows

/** @param {unknown} problem */
function complain(problem) {
  if (problem instanceof Problem && problem.status === 401) {
    shut();
    dialog.ask();
    return;
  }
  const told = problem instanceof Problem ? problem : new Problem(0, "This page failed", String(problem));
  if (!(problem instanceof Problem)) console.error(problem);
  banner.show({ title: told.title, detail: told.detail }, { action: true });
}

function start() {
  banner.hide();
  if (!key.get()) {
    dialog.ask();
    return;
  }
  started = true;
  void live.start();
}

/** Shows nothing any more, for want of a key. */
function shut() {
  started = false;
  keeps = null;
  live.clear();
  list.clear();
  view.clear();
  lock.hidden = true;
}

/** @returns {Record<string, string>} */
function chosen() {
  /** @type {Record<string, string>} */
  const found = {};
  for (const name of NAMES) {
    const field = byId(name, HTMLElement);
    const value = field instanceof HTMLInputElement || field instanceof HTMLSelectElement ? field.value.trim() : "";
    if (!value) continue;
    if (name === "since" || name === "until") found[`${name}_ms`] = String(Date.parse(value));
    else found[name] = value;
  }
  return found;
}

function search() {
  const wanted = chosen();
  const count = Object.keys(wanted).filter((name) => name !== "q").length;
  byId("filter-count", HTMLElement).textContent = count ? String(count) : "";
  void list.show(wanted);
}

/** @param {string} id */
async function open(id) {
  const round = (opened += 1);
  document.body.dataset.view = id ? "call" : "list";
  list.mark(id);
  if (!id) {
    view.clear();
    if (byHand) list.focus();
    byHand = false;
    return;
  }
  if (!keeps) return view.clear("This service keeps no history: set history_url, and see docs/history.md.");
  try {
    const call = await oneCall(id);
    if (round !== opened) return;
    view.show(call);
    if (byHand) view.focus();
    byHand = false;
  } catch (problem) {
    if (round !== opened) return;
    if (problem instanceof Problem && problem.status === 404) view.clear("Nothing is kept of this call.");
    else complain(problem);
  }
}

const openOne = () => void (started && keeps !== null && open(decodeURIComponent(location.hash.slice(1))));

listen(live, "told", (told) => {
  lock.hidden = false;
  if (keeps === null) {
    keeps = told.history;
    filters.hidden = !keeps;
    byId("list", HTMLElement).hidden = !keeps;
    byId("list-state", HTMLElement).textContent = keeps ? "" : "This service keeps no history: set history_url, and see docs/history.md.";
    if (keeps) search();
    openOne();
  } else if (keeps) {
    list.refresh().catch(complain);
  }
});
listen(live, "problem", complain);
const endCall = (/** @type {string} */ id) => void hangUp(id).then(() => live.start(), complain);
listen(live, "hangup", endCall);
for (const calls of [live, list]) {
  listen(calls, "open", (id) => {
    byHand = true;
    if (location.hash === `#${id}`) void open(id);
    else location.hash = id;
  });
}
listen(list, "problem", complain);
listen(view, "hangup", endCall);
listen(view, "problem", complain);
listen(view, "back", () => {
  byHand = true;
  location.hash = "";
});
listen(view, "erase", () => {
  eraseDialog.returnValue = "no";
  eraseDialog.showModal();
});
eraseDialog.addEventListener("close", async () => {
  if (eraseDialog.returnValue !== "yes" || !view.id) return;
  const id = view.id;
  try {
    const gone = await erase(id);
    list.forget(id);
    byHand = true;
    location.hash = "";
    if (!gone) banner.show({ title: "The call is erased", detail: "The database’s files are still being cleaned." }, { tone: "note" });
  } catch (problem) {
    complain(problem);
  }
});
listen(dialog, "given", start);
listen(banner, "action", () => {
  banner.hide();
  if (!started || keeps === null) return start();
  void live.start();
  search();
});
lock.addEventListener("click", () => {
  key.forget();
  shut();
  dialog.ask();
});
filters.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
filters.addEventListener("input", () => {
  clearTimeout(typing);
  typing = window.setTimeout(search, TYPING_MS);
});
byId("more-filters", HTMLButtonElement).addEventListener("click", (event) => {
  fields.hidden = !fields.hidden;
  if (event.currentTarget instanceof HTMLElement) event.currentTarget.setAttribute("aria-expanded", String(!fields.hidden));
});
byId("clear-filters", HTMLButtonElement).addEventListener("click", () => {
  filters.reset();
  search();
});
window.addEventListener("hashchange", openOne);
window.setInterval(() => {
  if (started && view.running && !document.hidden) void open(view.id);
}, FOLLOW_MS);
start();
