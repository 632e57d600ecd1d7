/** What the page says about the call and the agent: tables and one transition function. Pure. */

/** @typedef {"idle" | "connecting" | "connected" | "reconnecting" | "ended" | "failed"} CallState */
/** @typedef {"idle" | "listening" | "thinking" | "speaking" | "interrupted"} AgentState */

/** @type {Record<CallState, string>} */
export const CALL_WORDS = {
  idle: "Not in a call",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  ended: "Call ended",
  failed: "Call failed",
};

/** @type {Record<Exclude<AgentState, "idle">, string>} */
const AGENT_WORDS = {
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  interrupted: "Interrupted",
};

/**
 * @param {AgentState} agent
 * @param {CallState} call
 * @returns {string} the headline of the page: what the agent does, or the call's state while no agent is there
 */
export function agentWords(agent, call) {
  if (agent !== "idle" && call !== "reconnecting") return AGENT_WORDS[agent];
  return call === "idle" ? "Ready when you are" : CALL_WORDS[call];
}

/** How long a state lasts on its own, in ms, before the agent is taken to be listening again. */
/** @type {Partial<Record<AgentState, number>>} */
export const HOLD_MS = {
  interrupted: 1200,
  // A cough looks like a turn to the level meter, and no answer follows it. Not while a tool runs: that takes its time.
  thinking: 12000,
};

/**
 * @param {AgentState} state
 * @param {string} type type of the RTVI message that came
 * @returns {AgentState}
 */
export function nextAgentState(state, type) {
  switch (type) {
    case "bot-ready":
      return "listening";
    case "bot-started-speaking":
      return "speaking";
    case "bot-interrupted":
      return "interrupted";
    case "bot-stopped-speaking":
      // Comes with the interruption too, before or after it: the word stays readable.
      return state === "speaking" ? "listening" : state;
    case "user-started-speaking":
      return state === "thinking" ? "listening" : state;
    case "user-stopped-speaking":
    case "bot-llm-started":
    case "llm-function-call-started":
      return state === "speaking" ? state : "thinking";
    default:
      return state;
  }
}

/** Ends that are nobody's fault: the page says so quietly, without a banner. */
const QUIET_ENDS = new Set(["hung_up", "caller_left"]);

/** Ends that were set for the call. */
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
