// A page's use of OpenAI's client, as its documentation shows it; only the base URL is another one.
import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

window.events = []; // the server events, in order
window.told = []; // [event of the session, data], in order
window.ran = []; // arguments of the functions that were called here

const addUp = tool({
  name: "add_up",
  description: "Adds two numbers.",
  parameters: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => {
    window.ran.push({ a, b });
    return `the sum is ${a + b}`;
  },
});

window.call = async (apiKey, { instructions = "", withTool = true, config = {} } = {}) => {
  const agent = new RealtimeAgent({ name: "Page", instructions, tools: withTool ? [addUp] : [] });
  const transport = new OpenAIRealtimeWebRTC({ baseUrl: new URL("/v1/realtime/calls", location).href });
  const session = new RealtimeSession(agent, { transport, config });
  session.on("transport_event", (event) => window.events.push(event));
  session.on("error", (event) => window.told.push(["error", event.error?.error ?? String(event.error)]));
  session.on("agent_tool_end", (_context, _agent, ran, result) => window.told.push(["agent_tool_end", [ran.name, result]]));
  session.on("agent_end", (_context, _agent, output) => window.told.push(["agent_end", output]));
  window.session = session;
  await session.connect({ apiKey });
  return transport.callId;
};

window.inboundAudio = async () => {
  const reports = [...(await window.session.transport.connectionState.peerConnection.getStats()).values()];
  return reports.find((report) => report.type === "inbound-rtp" && report.kind === "audio") ?? null;
};

window.turns = () =>
  window.session.history
    .filter((item) => item.type === "message")
    .map((item) => [item.role, item.status, ...item.content.map((part) => part.text ?? part.transcript)]);
