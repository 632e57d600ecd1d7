"""Names of spans and attributes: OpenTelemetry's semantic conventions for generative AI, and our own.

The conventions are still in development, and the constants published for them are deprecated. So all names are
defined here and can be changed in one place. Pure.
"""

from __future__ import annotations

# spans
CALL = "call"
SET_UP = "set_up"
USER_SPEECH = "user_speech"
INVOKE_AGENT = "invoke_agent"
REALTIME_INFERENCE = "realtime_inference"
EXECUTE_TOOL = "execute_tool"

# attributes defined by the conventions
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
OUTPUT_TYPE = "gen_ai.output.type"
END_REASON = "gen_ai.agent.invocation.end_reason"
CONVERSATION_ID = "gen_ai.conversation.id"
SESSION_ID = "gen_ai.realtime_session.id"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
AUDIO_INPUT_TOKENS = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT_TOKENS = "gen_ai.usage.audio.output_tokens"
TEXT_INPUT_TOKENS = "gen_ai.usage.text.input_tokens"
TEXT_OUTPUT_TOKENS = "gen_ai.usage.text.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
ERROR_TYPE = "error.type"

# what was said; sent only with the setting `trace_content`
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

# our own attributes
RESPONSE_S = "talkspurt.response_s"
STAGE_MS = "talkspurt.stage."
"Followed by the name of a stage of `agent.events.Stages` or `SetUpStages`."
TYPED = "talkspurt.typed"
GENERATION = "talkspurt.generation"
CALL_END_REASON = "talkspurt.call.end_reason"
FAULT = "talkspurt.call.fault"
COST_USD = "talkspurt.cost_usd"
INTERRUPTIONS = "talkspurt.interruptions"
MOS_IN = "talkspurt.mos_in"
MOS_OUT = "talkspurt.mos_out"
TOOL_OUTCOME = "talkspurt.tool.outcome"
DETAIL = "talkspurt.detail"

GEMINI = "gcp.gemini"
VERTEX_AI = "gcp.vertex_ai"
EMULATOR = "talkspurt.emulator"
SPEECH = "speech"
TEXT = "text"
