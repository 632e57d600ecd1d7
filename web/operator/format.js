/** How figures are written for people. */

/** @param {number | null | undefined} ms @returns {string} such as 1:05 or 1:02:03 */
export function clock(ms) {
  const s = Math.max(0, Math.floor((ms ?? 0) / 1000));
  const [hours, minutes, seconds] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const tail = `${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(seconds).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const LONG_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const WHOLE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** @param {number} ms Unix milliseconds @returns {string} the time, with the day unless it is today */
export function when(ms, now = new Date()) {
  const at = new Date(ms);
  if (at.toDateString() === now.toDateString()) return TIME.format(at);
  return `${(at.getFullYear() === now.getFullYear() ? DAY : LONG_DAY).format(at)}, ${TIME.format(at)}`;
}

/** @param {number} ms Unix milliseconds */
export const whole = (ms) => WHOLE.format(new Date(ms));

/** @param {unknown} usd */
export function money(usd) {
  if (typeof usd !== "number") return "–";
  return `$${usd.toFixed(usd >= 1 ? 2 : usd === 0 ? 0 : 4)}`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {unknown} ms */
export const milliseconds = (ms) => (typeof ms === "number" ? `${Math.round(ms)} ms` : "–");

/** @param {string} name such as live_lost @returns {string} such as "Live lost" */
export function words(name) {
  const spaced = name.replaceAll("_", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** @param {number} count @param {string} one */
export const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Who calls whom, in short. @param {Record<string, any>} call */
export function who(call) {
  const phone = call.phone ?? call;
  if (phone.direction === "outbound") return `To ${phone.callee || "a telephone"}`;
  return phone.caller || call.caller || "A browser";
}
