/** The web pages that an answer rests on. Pure. */

import { isRecord, text } from "./rtvi.js";

/**
 * @param {Record<string, unknown>} data of a bot-llm-search-response: untrusted
 * @returns {{title: string, href: string}[]} only what a browser opens as a web page
 */
export function sourcesOf(data) {
  const origins = Array.isArray(data.origins) ? data.origins.filter(isRecord) : [];
  return origins.flatMap(({ site_uri, site_title }) => {
    const href = webAddress(text(site_uri));
    return href ? [{ title: text(site_title) || href, href }] : [];
  });
}

/** @param {string} uri */
function webAddress(uri) {
  try {
    const { protocol, href } = new URL(uri);
    return protocol === "http:" || protocol === "https:" ? href : "";
  } catch {
    return "";
  }
}
