/**
 * RTVI 2.1, the dialect of the data channel `chat`: builds and reads its messages. Pure.
 * docs/events.md lists the messages of the service.
 */

/** @typedef {{type: string, id: string, data: Record<string, unknown>}} Message */

export const CHANNEL = "chat";
const VERSION = "2.1.0";
const LIBRARY = "talkspurt-web";
const LIBRARY_VERSION = "0.1.0";
const LABEL = "rtvi-ai";

/** @returns {string} 8 hexadecimal digits, as Pipecat's client makes them */
export function newId() {
  const word = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return word.toString(16).padStart(8, "0");
}

/**
 * @param {string} type
 * @param {Record<string, unknown>} [data]
 * @returns {Message}
 */
function build(type, data = {}) {
  return { type, id: newId(), data };
}

export function clientReady() {
  return build("client-ready", {
    version: VERSION,
    about: { library: LIBRARY, library_version: LIBRARY_VERSION },
  });
}

/** @param {string} content typed words; they cut off what the agent is saying */
export function sendText(content) {
  return build("send-text", { content, options: { run_immediately: true, audio_response: true } });
}

/** @param {"interrupt" | "activity-start" | "activity-end"} what a request that RTVI has no type for */
export function clientMessage(what) {
  return build("client-message", { t: what });
}

/** @param {Message} message */
export function encode(message) {
  return JSON.stringify({ label: LABEL, ...message });
}

/**
 * @param {unknown} wire what arrived on the channel
 * @returns {Message | null} null for anything that is not RTVI, which is to be ignored
 */
export function decode(wire) {
  if (typeof wire !== "string") return null;
  let value;
  try {
    value = JSON.parse(wire);
  } catch {
    return null;
  }
  if (!isRecord(value) || value.label !== LABEL || typeof value.type !== "string") return null;
  return {
    type: value.type,
    id: text(value.id),
    data: isRecord(value.data) ? value.data : {},
  };
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {string} the value if it is a string or a number, else ""
 */
export function text(value) {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
