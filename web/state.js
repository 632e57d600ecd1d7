/** The states of call and agent, and what the page says of them. Pure. */

/** @typedef {"idle" | "connecting" | "connected" | "reconnecting" | "ended" | "failed"} CallState */
/** @typedef {"connecting" | "listening" | "thinking" | "speaking"} AgentState as the service tells it: docs/events.md */

/** @type {Record<CallState, string>} */
export const CALL_WORDS = {
  idle: "Not in a call",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  ended: "Call ended",
  failed: "Call failed",
};

/** @type {Record<AgentState, string>} */
const AGENT_WORDS = {
  connecting: "Connecting…",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
};

/**
 * @param {AgentState | null} agent null until the service has said so
 * @param {CallState} call
 * @returns {string} the headline of the page: what the agent does, or the call's state if no agent can be reached
 */
export function headline(agent, call) {
  if (call === "idle") return "Ready when you are";
  return agent && call === "connected" ? AGENT_WORDS[agent] : CALL_WORDS[call];
}

/**
 * @param {unknown} value of the service's `agent-state`
 * @returns {value is AgentState}
 */
export function isAgentState(value) {
  return typeof value === "string" && Object.hasOwn(AGENT_WORDS, value);
}

/** Ends that need no banner: the caller knows. */
const QUIET_ENDS = new Set(["hung_up", "caller_left"]);

/** Ends that the operator has set: no error. */
const LIMIT_ENDS = new Set(["budget_spent", "idle", "max_duration", "daily_budget_spent", "daily_minutes_used"]);

/** @param {string} reason */
export function isQuietEnd(reason) {
  return QUIET_ENDS.has(reason);
}

/** @param {string} reason */
export function isLimitEnd(reason) {
  return LIMIT_ENDS.has(reason);
}

/**
 * @param {number} seconds
 * @returns {string} such as 0:07 or 1:02:03
 */
export function clockWords(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(s).padStart(2, "0")}`;
  return h ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
}
