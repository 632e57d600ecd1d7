/** Requests to the service, with its key; refusals become `Problem` (`application/problem+json`, RFC 9457). */

import { isRecord, text } from "./rtvi.js";
import { Store } from "./store.js";

const session = new Store(() => sessionStorage);

/** The service's key, kept in this tab only, until it is closed. */
export const key = {
  get: () => session.get("key"),
  /** @param {string} value */
  set: (value) => session.set("key", value),
  forget: () => session.set("key", ""),
};

/** The service refused a request; title and detail are for the caller. `status` 0: it could not be reached. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} title
   * @param {string} detail
   */
  constructor(status, title, detail) {
    super(detail || title);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.detail = detail;
  }
}

/**
 * @param {string | URL} url
 * @param {RequestInit} init
 * @param {number} timeoutS
 * @returns {Promise<Response>} of status 2xx
 * @throws {Problem} on anything else
 */
export async function request(url, init = {}, timeoutS = 15) {
  const headers = new Headers(init.headers);
  const secret = key.get();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  let response;
  try {
    response = await fetch(url, { ...init, headers, cache: "no-store", signal: AbortSignal.timeout(timeoutS * 1000) });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new Problem(0, "No answer from the service", late
      ? `It did not answer within ${timeoutS} seconds.`
      : "It cannot be reached. Check your network and that the service is running.");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  let title = "";
  let detail = "";
  try {
    const body = await response.json();
    if (isRecord(body)) [title, detail] = [text(body.title), text(body.detail)];
  } catch {
    // Not JSON, for instance the page of a proxy: the status has to do.
  }
  const wait = retryAfter(response.headers.get("Retry-After"));
  return new Problem(
    response.status,
    title || TITLES[response.status] || `The service refused (${response.status})`,
    [detail, wait].filter(Boolean).join(" "),
  );
}

/** @type {Record<number, string>} */
const TITLES = {
  401: "A key is needed",
  403: "Not allowed",
  404: "Not found",
  429: "Too many calls",
  503: "The service is full",
};

/**
 * @param {string | null} header seconds or an HTTP date
 * @returns {string} a sentence, or ""
 */
function retryAfter(header, now = Date.now()) {
  if (!header) return "";
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - now) / 1000);
  if (!(seconds > 0)) return "";
  if (seconds < 90) return `Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`;
  return `Try again in ${Math.round(seconds / 60)} minutes.`;
}
