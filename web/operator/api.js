/** What the page asks the service for; every request carries the key (../http.js) and may raise its `Problem`. */

import { request } from "../http.js";

const ERASE_TIMEOUT_S = 120; // the database's files are cleaned meanwhile
const FETCH_TIMEOUT_S = 300;

/** @param {string} url */
const asJson = async (url) => (await request(url)).json();

export const liveCalls = () => asJson("v1/calls");

/** @param {string} id */
export const hangUp = (id) => request(`v1/calls/${encodeURIComponent(id)}/hang-up`, { method: "POST" });

/** @param {Record<string, string>} filters @param {string | null} before @param {number} limit */
export function page(filters, before, limit) {
  const query = new URLSearchParams({ ...filters, limit: String(limit) });
  if (before) query.set("before", before);
  return asJson(`v1/history?${query}`);
}

/** @param {string} id */
export const oneCall = (id) => asJson(`v1/history/${encodeURIComponent(id)}`);

/** @param {string} id @returns {Promise<boolean>} whether nothing of it is left; else that takes a while longer */
export async function erase(id) {
  const url = `v1/history/${encodeURIComponent(id)}`;
  return (await request(url, { method: "DELETE" }, ERASE_TIMEOUT_S)).status === 204;
}

/** @param {string} id */
export async function recording(id) {
  const url = `v1/calls/${encodeURIComponent(id)}/recording`;
  const response = await request(url, {}, FETCH_TIMEOUT_S);
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  return { bytes: new Uint8Array(await response.arrayBuffer()), name: named?.[1] ?? "recording" };
}
