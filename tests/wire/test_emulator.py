"""The emulator as google-genai meets it: the real SDK over TLS."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession

from agent.emulator import (
    CallFunction,
    Emulator,
    HookedSession,
    Hooks,
    Moment,
    Play,
    Raw,
    Say,
    ServerMessage,
    Turn,
    message,
)
from agent.emulator import running_emulator as _running_emulator
from agent.emulator.model import phrases
from agent.emulator.model.pcm import Pcm, resample_whole
from agent.emulator.model.transcribe import recognition_installed
from agent.emulator.model.voice import speech_pack

GEMINI = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
WEATHER = types.FunctionDeclaration(name="get_weather", parameters_json_schema={"type": "object"})


def running_emulator(**options: Any) -> Any:
    return _running_emulator(**{"pace": 20.0, "await_playback": False, "seed": 1, **options})


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running_emulator() as running:
        yield running


def client(emulator: Emulator) -> genai.Client:
    arguments = {"ssl": emulator.ssl_context(), "proxy": None, "compression": None, "close_timeout": 1}
    options = types.HttpOptions(base_url=emulator.url, async_client_args=arguments)
    return genai.Client(api_key="any", http_options=options)


@asynccontextmanager
async def session(emulator: Emulator, **config: Any) -> AsyncIterator[AsyncSession]:
    live = types.LiveConnectConfig(
        response_modalities=config.pop("response_modalities", [types.Modality.AUDIO]),
        output_audio_transcription=config.pop("output_audio_transcription", types.AudioTranscriptionConfig()),
        **config,
    )
    async with client(emulator).aio.live.connect(model="gemini-live", config=live) as connected:
        yield connected


class Heard:
    """A summary of one turn of the model."""

    def __init__(self) -> None:
        self.said = ""
        self.asked = ""
        self.written = ""
        self.audio = b""
        self.kinds: list[str] = []
        self.handle: str | None = None
        self.usage: types.UsageMetadata | None = None

    def take(self, got: types.LiveServerMessage) -> bool:
        """Add a message; True if the turn is complete."""
        content = got.server_content or types.LiveServerContent()
        for part in (content.model_turn.parts if content.model_turn else None) or ():
            self.written += part.text or ""
            self.audio += (part.inline_data.data if part.inline_data else None) or b""
        self.said += (content.output_transcription.text if content.output_transcription else None) or ""
        self.asked += (content.input_transcription.text if content.input_transcription else None) or ""
        for kind in ("generation_complete", "interrupted", "turn_complete"):
            if getattr(content, kind):
                self.kinds.append(kind)
        self.usage = got.usage_metadata or self.usage
        return bool(content.turn_complete)


async def hear(live: AsyncSession) -> Heard:
    turn = Heard()
    async with asyncio.timeout(15):
        while True:
            if turn.take(await one(live)):
                return turn


async def one(live: AsyncSession) -> types.LiveServerMessage:
    async with asyncio.timeout(10):
        async for got in live.receive():
            return got
    raise AssertionError("receive() ended without a message")


async def ask(live: AsyncSession, text: str) -> Heard:
    await live.send_realtime_input(text=text)
    return await hear(live)


async def speak(live: AsyncSession, pcm: Pcm, rate_hz: int = 16_000, *, tail_s: float = 0.8) -> None:
    """Send a caller's voice, faster than it was spoken: the emulator's ears count samples."""
    tail = np.zeros(int(tail_s * rate_hz), dtype=np.int16)
    pcm = np.concatenate((pcm, tail))
    size = rate_hz // 25
    for at in range(0, pcm.size, size):
        chunk = pcm[at : at + size].tobytes()
        await live.send_realtime_input(audio=types.Blob(data=chunk, mime_type=f"audio/pcm;rate={rate_hz}"))


def caller(text: str, rate_hz: int = 16_000) -> Pcm:
    return resample_whole(speech_pack().caller_phrase(text), 24_000, rate_hz)


async def test_typed_text_is_answered_aloud(emulator: Emulator) -> None:
    async with session(emulator) as live:
        assert live.setup_complete is not None
        turn = await ask(live, "hello")
        assert turn.said == phrases.GREETING
        assert turn.kinds == ["generation_complete", "turn_complete"]
        wanted = speech_pack().phrase(phrases.GREETING)
        assert wanted is not None
        assert turn.audio == wanted.tobytes()
        assert turn.usage is not None
        assert turn.usage.response_token_count == pytest.approx(25 * wanted.size / 24_000, abs=2)
        assert (await ask(live, "12*30")).said == "12 times 30 is 360."
    record = emulator.sessions[0]
    assert list(record.texts) == ["hello", "12*30"]
    assert record.setup["generationConfig"]["responseModalities"] == ["AUDIO"]
    await emulator.wait_for(lambda: not record.open)


async def test_sentences_are_kept_apart(emulator: Emulator) -> None:
    async with session(emulator) as live:
        assert (await ask(live, "tell me a long story")).said == " ".join(phrases.STORY)


async def test_words_come_between_the_sound(emulator: Emulator) -> None:
    async with session(emulator) as live:
        await live.send_realtime_input(text="what can you do")
        order = ""
        async for got in live.receive():
            content = got.server_content
            assert content is not None
            order += "a" if content.model_turn else "w" if content.output_transcription else ""
    assert order.startswith("wa")
    assert order.count("wa") > 20


async def test_no_transcription_unless_asked_for(emulator: Emulator) -> None:
    async with session(emulator, output_audio_transcription=None) as live:
        turn = await ask(live, "hello")
    assert turn.said == ""
    assert turn.audio


async def test_text_modality(emulator: Emulator) -> None:
    async with session(emulator, response_modalities=[types.Modality.TEXT]) as live:
        turn = await ask(live, "who are you")
        assert turn.written == phrases.WHO
        assert not turn.audio
        assert (await ask(live, "tell me a story")).written == " ".join(phrases.STORY)


async def test_client_content_answers_and_interrupts() -> None:
    async with running_emulator(pace=2.0) as emulator, session(emulator) as live:
        await live.send_realtime_input(text="tell me a story")
        await emulator.wait_for(lambda: emulator.sessions[0].sent_kinds["audio"] > 3)
        turns = types.Content(role="user", parts=[types.Part(text="flip a coin")])
        await live.send_client_content(turns=turns, turn_complete=True)
        first = await hear(live)
        assert first.kinds == ["interrupted", "turn_complete"]
        assert (await hear(live)).said in {phrases.HEADS, phrases.TAILS}


async def test_history_is_taken_over(emulator: Emulator) -> None:
    history: list[types.Content | types.ContentDict] = [
        types.Content(role="user", parts=[types.Part(text="my name is Ada")]),
        types.Content(role="model", parts=[types.Part(text="Nice to meet you.")]),
    ]
    async with session(emulator) as live:
        await live.send_client_content(turns=history, turn_complete=False)
        assert (await ask(live, "what is my name")).said == "Your name is Ada."


async def test_a_tool_goes_round(emulator: Emulator) -> None:
    async with session(emulator, tools=[types.Tool(function_declarations=[WEATHER])]) as live:
        await live.send_realtime_input(text="what is the weather in Paris?")
        got = await one(live)
        assert got.tool_call is not None
        (call,) = got.tool_call.function_calls or []
        assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
        response = types.FunctionResponse(id=call.id, name=call.name, response={"output": {"temp_c": 21}})
        await live.send_tool_response(function_responses=[response])
        assert (await hear(live)).said == "It is 21 degrees."


async def test_no_tool_call_without_a_declaration(emulator: Emulator) -> None:
    async with session(emulator) as live:
        assert (await ask(live, "what is the weather in Paris?")).said == phrases.NO_WEATHER_TOOL


async def test_an_interrupted_call_is_cancelled(emulator: Emulator) -> None:
    async with session(emulator, tools=[types.Tool(function_declarations=[WEATHER])]) as live:
        await live.send_realtime_input(text="weather in Rome")
        got = await one(live)
        assert got.tool_call is not None
        await live.send_realtime_input(text="hello")
        cancelled = await one(live)
        assert cancelled.tool_call_cancellation is not None
        assert cancelled.tool_call_cancellation.ids == [(got.tool_call.function_calls or [])[0].id]
        assert (await hear(live)).kinds == ["interrupted", "turn_complete"]
        assert (await hear(live)).said == phrases.GREETING


@pytest.mark.parametrize("scheduling", ["INTERRUPT", "WHEN_IDLE"])
async def test_a_background_tool_leaves_the_model_free(emulator: Emulator, scheduling: str) -> None:
    behind = types.FunctionDeclaration(name="get_weather", behavior=types.Behavior.NON_BLOCKING)
    async with session(emulator, tools=[types.Tool(function_declarations=[behind])]) as live:
        await live.send_realtime_input(text="weather in Rome")
        got = await one(live)
        assert got.tool_call is not None
        call = (got.tool_call.function_calls or [])[0]
        assert (await hear(live)).said == phrases.LOOKING_UP
        response = types.FunctionResponse(
            id=call.id,
            name=call.name,
            response={"result": "mild"},
            scheduling=types.FunctionResponseScheduling(scheduling),
        )
        await live.send_tool_response(function_responses=[response])
        assert (await hear(live)).said == "The tool says: mild."


async def test_a_voice_without_recognition_is_told_so(emulator: Emulator) -> None:
    async with session(emulator, input_audio_transcription=types.AudioTranscriptionConfig()) as live:
        await speak(live, caller("tell me a long story"))
        turn = await hear(live)
    assert turn.said == f"I heard you for 1 second, {phrases.NO_RECOGNITION}"
    assert turn.asked == ""


async def test_what_the_model_heard_is_recorded(emulator: Emulator) -> None:
    pcm = caller("what time is it", 24_000)
    async with session(emulator) as live:
        await speak(live, pcm, 24_000, tail_s=1)
        await hear(live)
    record = emulator.sessions[0]
    assert np.array_equal(record.audio[: pcm.size], pcm)
    assert record.audio_samples_in == pcm.size + 24_000
    assert record.audio_rate_hz == 24_000


@pytest.mark.skipif(not recognition_installed(), reason="needs the extra `demo`")
async def test_a_spoken_question_is_understood() -> None:
    async with running_emulator(speech_recognition=True) as emulator:
        config = types.AudioTranscriptionConfig()
        tools = [types.Tool(function_declarations=[WEATHER])]
        async with session(emulator, input_audio_transcription=config, tools=tools) as live:
            await speak(live, caller("what time is it"))
            turn = await hear(live)
            assert turn.asked == "what time is it"
            assert turn.said.startswith("It is ")
            await speak(live, caller("what is twelve plus thirty"))
            assert (await hear(live)).said == "12 plus 30 is 42."
            await speak(live, caller("what is the weather in paris"))
            heard = Heard()
            while (got := await one(live)).tool_call is None:
                assert not heard.take(got)
            assert heard.asked == "what is the weather in paris"
            assert (got.tool_call.function_calls or [])[0].args == {"city": "Paris"}


async def test_speech_interrupts_the_model() -> None:
    async with running_emulator(pace=2.0) as emulator, session(emulator) as live:
        await live.send_realtime_input(text="tell me a long story")
        await emulator.wait_for(lambda: emulator.sessions[0].sent_kinds["audio"] > 5)
        await speak(live, caller("please stop"))
        cut = await hear(live)
        assert cut.kinds == ["interrupted", "turn_complete"]
        assert 0 < len(cut.audio) < 20 * 48_000
        assert (await hear(live)).said.startswith("I heard you")


async def test_an_assumed_playback_can_be_interrupted() -> None:
    async with running_emulator(pace=50.0, await_playback=True) as emulator, session(emulator) as live:
        await live.send_realtime_input(text="tell me a long story")
        await emulator.wait_for(lambda: emulator.sessions[0].sent_kinds["generationComplete"] == 1)
        await live.send_realtime_input(text="please stop")
        assert (await hear(live)).kinds == ["generation_complete", "interrupted", "turn_complete"]


async def test_no_interruption_if_the_client_wants_none() -> None:
    handling = types.RealtimeInputConfig(activity_handling=types.ActivityHandling.NO_INTERRUPTION)
    async with running_emulator() as emulator, session(emulator, realtime_input_config=handling) as live:
        await live.send_realtime_input(text="what can you do")
        await live.send_realtime_input(text="hello")
        assert (await hear(live)).said == phrases.ABILITIES
        assert (await hear(live)).said == phrases.GREETING


def manual() -> types.RealtimeInputConfig:
    return types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))


async def test_manual_activity(emulator: Emulator) -> None:
    async with session(emulator, realtime_input_config=manual()) as live:
        await live.send_realtime_input(activity_start=types.ActivityStart())
        await speak(live, caller("hello"), tail_s=3)
        await live.send_realtime_input(activity_end=types.ActivityEnd())
        assert (await hear(live)).said.startswith("I heard you for 4 seconds")
    assert emulator.sessions[0].received["ActivityEnded"] == 1


async def test_marks_are_refused_while_the_detector_is_on(emulator: Emulator) -> None:
    async with session(emulator) as live:
        await live.send_realtime_input(activity_start=types.ActivityStart())
        with pytest.raises(errors.APIError) as refused:
            await one(live)
    assert refused.value.code == 1007


async def test_closing_the_microphone_is_no_mark(emulator: Emulator) -> None:
    async with session(emulator, realtime_input_config=manual()) as live:
        await live.send_realtime_input(activity_start=types.ActivityStart())
        await speak(live, caller("hello"), tail_s=0)
        await live.send_realtime_input(audio_stream_end=True)
        await speak(live, caller("hello"), tail_s=3)
        await live.send_realtime_input(activity_end=types.ActivityEnd())
        assert (await hear(live)).said.startswith("I heard you for 4 seconds")
    assert emulator.sessions[0].violations == ["audioStreamEnd while automatic activity detection is disabled"]


async def test_closing_the_microphone_ends_the_turn(emulator: Emulator) -> None:
    async with session(emulator) as live:
        await speak(live, caller("tell me a long story"), tail_s=0)
        await live.send_realtime_input(audio_stream_end=True)
        assert (await hear(live)).said.startswith("I heard you")


async def test_the_newest_picture_is_described(emulator: Emulator) -> None:
    jpeg = bytes.fromhex("ffd8ffe000040000ffc0000b0801e0028001011100")
    async with session(emulator) as live:
        await live.send_realtime_input(video=types.Blob(data=jpeg, mime_type="image/jpeg"))
        turn = await ask(live, "what do you see")
    assert turn.said == "I received a picture of 640 by 480 pixels. I have 1 picture so far."
    assert emulator.sessions[0].pictures[0].data == jpeg


async def test_resumption_restores_the_dialogue(emulator: Emulator) -> None:
    async with session(emulator, session_resumption=types.SessionResumptionConfig()) as live:
        await ask(live, "my name is Grace")
        update = (await one(live)).session_resumption_update
        assert update is not None
        assert update.resumable
    resumption = types.SessionResumptionConfig(handle=update.new_handle)
    async with session(emulator, session_resumption=resumption) as live:
        assert (await ask(live, "what is my name")).said == "Your name is Grace."
    assert emulator.sessions[1].handle == update.new_handle


async def test_an_interrupted_answer_is_remembered_as_far_as_it_was_sent() -> None:
    async with running_emulator(pace=2.0) as emulator:
        async with session(emulator, session_resumption=types.SessionResumptionConfig()) as live:
            await live.send_realtime_input(text="tell me a long story")
            await emulator.wait_for(lambda: emulator.sessions[0].sent_kinds["outputTranscription"] > 3)
            turns = types.Content(role="user", parts=[types.Part(text="hello")])
            await live.send_client_content(turns=turns, turn_complete=False)  # it does not interrupt
            await live.send_realtime_input(text="stop")
            cut = await hear(live)
            update = (await one(live)).session_resumption_update
            assert update is not None
        resumption = types.SessionResumptionConfig(handle=update.new_handle)
        async with session(emulator, session_resumption=resumption):
            restored = emulator.sessions[1].restored
    assert cut.said
    assert cut.said in " ".join(phrases.STORY)
    assert [text for role, text in restored if role == "model"] == [cut.said]


async def test_an_unknown_handle_is_refused(emulator: Emulator) -> None:
    with pytest.raises(errors.APIError) as refused:
        async with session(emulator, session_resumption=types.SessionResumptionConfig(handle="forged")):
            pass
    assert refused.value.code == 1008


@asynccontextmanager
async def raw_socket(
    emulator: Emulator, path: str = GEMINI, key: str | None = "any"
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"x-goog-api-key": key} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(emulator.url + path, ssl=emulator.ssl_context()) as socket,
    ):
        yield socket


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"realtime_input": {"text": "hello"}}', 1007),
        ('{"setup": {"model": ""}}', 1007),
        ('{"setup": {"model": "models/m", "generationConfig": {"responseModalities": ["AUDIO", "TEXT"]}}}', 1007),
        ("nonsense", 1007),
        ('{"brandNew": {}}', 1007),
    ],
)
async def test_a_bad_first_message_is_refused(emulator: Emulator, first: str, code: int) -> None:
    async with raw_socket(emulator) as socket:
        await socket.send_str(first)
        assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == code
    assert emulator.sessions[0].close_code == code


@pytest.mark.parametrize(
    "second",
    [
        '{"setup": {"model": "models/m"}}',
        '{"realtime_input": {"audio": {"data": "AAE=", "mime_type": "audio/pcm"}}}',
        '{"realtime_input": {"audio": {"data": "AA==", "mime_type": "audio/pcm;rate=16000"}}}',
    ],
)
async def test_a_bad_later_message_is_refused(emulator: Emulator, second: str) -> None:
    async with raw_socket(emulator) as socket:
        await socket.send_str('{"setup": {"model": "models/m"}}')
        first = await socket.receive(5)
        assert first.type is aiohttp.WSMsgType.BINARY
        assert "setupComplete" in json.loads(first.data)
        await socket.send_str(second)
        assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1007


async def test_a_long_reason_is_cut_between_characters(emulator: Emulator) -> None:
    async with raw_socket(emulator) as socket:
        await socket.send_str('{"setup": {"model": "models/m"}}')
        await socket.receive(5)
        odd = "x" + "\U0001f600" * 9
        answered = {"id": "c1", "scheduling": odd}
        await socket.send_json({"toolResponse": {"functionResponses": [answered]}})
        message = await socket.receive(5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1007)
        assert f"scheduling: {odd}".startswith(str(message.extra).partition("responses.")[2])


async def test_what_is_no_websocket_is_no_session(emulator: Emulator) -> None:
    async with (
        aiohttp.ClientSession(headers={"x-goog-api-key": "any"}) as http,
        http.get(emulator.url + GEMINI, ssl=emulator.ssl_context()) as answer,
    ):
        assert answer.status == 400
    assert not emulator.sessions[0].open


async def test_on_vertex_the_answers_tokens_are_the_candidates(emulator: Emulator) -> None:
    async with raw_socket(
        emulator, "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
    ) as socket:
        await socket.send_str('{"setup": {"model": "models/m"}}')
        await socket.send_str('{"realtimeInput": {"text": "hello"}}')
        usage = None
        while usage is None:
            usage = json.loads((await socket.receive(5)).data).get("usageMetadata")
    assert usage["candidatesTokenCount"] > 0
    assert "responseTokenCount" not in usage


async def test_a_missing_key_is_refused(emulator: Emulator) -> None:
    async with raw_socket(emulator, key=None) as socket:
        message = await socket.receive(5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert "API key not valid" in str(message.extra)


@pytest.mark.parametrize(
    "path",
    [
        "/" + GEMINI,
        GEMINI.replace(".v1.", ".v1alpha.") + "Constrained",
        "//ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
    ],
)
async def test_every_path_of_the_sdk_is_served(emulator: Emulator, path: str) -> None:
    async with raw_socket(emulator, path) as socket:
        await socket.send_str('{"setup": {"model": "models/m"}}')
        assert "setupComplete" in json.loads((await socket.receive(5)).data)


async def test_other_paths_are_not_found(emulator: Emulator) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with raw_socket(emulator, "/v1/models"):
            pass
    assert refused.value.status == 404


async def test_a_script_takes_the_brains_place() -> None:
    beep = np.full(2400, 1000, dtype=np.int16)
    odd = message("oddity", {"serverContent": {"brandNew": 1, "modelTurn": {"parts": [{"text": "odd"}]}}})

    def script(turn: Turn) -> tuple[Say | CallFunction | Play | Raw, ...] | None:
        return (Play(beep), Raw(odd)) if turn.text == "beep" else None

    async with running_emulator(on_turn=script) as emulator, session(emulator) as live:
        turn = await ask(live, "beep")
        assert turn.audio == beep.tobytes()
        assert turn.written == "odd"
        assert (await ask(live, "hello")).said == phrases.GREETING
        assert emulator.sessions[0].sent_kinds["oddity"] == 1


class Tap(Hooks):
    """Loses the greeting's sound, and closes when the turn is complete."""

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if message.kind == "audio" else message

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.TURN_COMPLETED:
            await session.close(1011, "as the test wants it")


async def test_hooks_reach_into_the_session() -> None:
    async with running_emulator(hooks=Tap) as emulator, session(emulator) as live:
        turn = await ask(live, "hello")
        assert not turn.audio
        assert turn.said == phrases.GREETING
        with pytest.raises(errors.APIError) as closed:
            await one(live)
        assert closed.value.code == 1011
        assert emulator.sessions[0].close_code == 1011


class Cutter(Hooks):
    async def run(self, session: HookedSession) -> None:
        await session.send(message("goAway", {"goAway": {"timeLeft": "1s"}}))
        session.abort()


async def test_a_hook_may_drop_the_connection() -> None:
    async with running_emulator(hooks=Cutter) as emulator, session(emulator) as live:
        assert (await one(live)).go_away is not None
        with pytest.raises(errors.APIError) as lost:
            await one(live)
        assert lost.value.code == 1006
        await emulator.wait_for(lambda: not emulator.sessions[0].open)


async def test_many_sessions_end_with_their_clients(emulator: Emulator) -> None:
    async def visit() -> str:
        async with session(emulator) as live:
            return (await ask(live, "hello")).said

    assert set(await asyncio.gather(*(visit() for _ in range(10)))) == {phrases.GREETING}
    await emulator.wait_for(lambda: all(not record.open for record in emulator.sessions))
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("emulator")]


async def test_the_end_of_the_server_ends_its_sessions() -> None:
    async with running_emulator() as emulator:
        connection = session(emulator)
        live = await connection.__aenter__()
        await live.send_realtime_input(text="tell me a long story")
        await emulator.wait_for(lambda: emulator.sessions[0].sent_kinds["audio"] > 3)
        folder = emulator.ca_file.parent
    with pytest.raises(errors.APIError):
        await hear(live)
    await connection.__aexit__(None, None, None)
    assert not folder.exists()
