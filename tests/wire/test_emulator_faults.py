"""Each fault of the script as google-genai sees it: the real SDK over TLS."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession

from agent.emulator import Emulator, HookedSession, Hooks, ServerMessage, running_emulator
from agent.emulator.command import main
from agent.emulator.model import phrases
from agent.emulator.model.pcm import Pcm
from agent.errors import ConfigError
from agent.live.wire import Usage, facts

GEMINI = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
TOOL = types.FunctionDeclaration(name="get_weather", parameters_json_schema={"type": "object"})
BEHIND = TOOL.model_copy(update={"behavior": types.Behavior.NON_BLOCKING})
RESUMABLE = types.SessionResumptionConfig()
SHORT = "who are you"


@asynccontextmanager
async def faulty(*faults: dict[str, Any], **options: Any) -> AsyncIterator[Emulator]:
    script = "\n".join(map(json.dumps, faults))
    async with running_emulator(
        faults=script, **{"pace": 50.0, "await_playback": False, "seed": 1, **options}
    ) as emulator:
        yield emulator


@asynccontextmanager
async def session(
    emulator: Emulator, *, ws: dict[str, Any] | None = None, **config: Any
) -> AsyncIterator[AsyncSession]:
    arguments = {
        "ssl": emulator.ssl_context(),
        "proxy": None,
        "compression": None,
        "close_timeout": 0.3,
        **(ws or {}),
    }
    options = types.HttpOptions(base_url=emulator.url, async_client_args=arguments)
    config.setdefault("output_audio_transcription", types.AudioTranscriptionConfig())
    live = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO], **config)
    client = genai.Client(api_key="any", http_options=options)
    async with client.aio.live.connect(model="gemini-live", config=live) as connected:
        yield connected


def tools(declaration: types.FunctionDeclaration = TOOL) -> dict[str, Any]:
    return {"tools": [types.Tool(function_declarations=[declaration])]}


def resume(handle: str | None) -> dict[str, Any]:
    return {"session_resumption": types.SessionResumptionConfig(handle=handle)}


class Turn:
    """What came until a turn was complete."""

    def __init__(self) -> None:
        self.order: list[str] = []
        """Kinds of messages; a run of one kind is named once."""
        self.audio = b""
        self.said = ""
        self.messages: list[types.LiveServerMessage] = []

    def take(self, got: types.LiveServerMessage) -> None:
        self.messages.append(got)
        content = got.server_content or types.LiveServerContent()
        for part in (content.model_turn.parts if content.model_turn else None) or ():
            self.audio += (part.inline_data.data if part.inline_data else None) or b""
        for kind in kinds(got):
            if self.order[-1:] != [kind]:
                self.order.append(kind)
        if content.output_transcription:
            self.said += content.output_transcription.text or ""

    @property
    def pcm(self) -> Pcm:
        return np.frombuffer(self.audio, dtype="<i2")


def kinds(got: types.LiveServerMessage) -> list[str]:
    content = got.server_content or types.LiveServerContent()
    update = got.session_resumption_update
    said = content.output_transcription
    heard = content.input_transcription
    named = {
        "audio": content.model_turn,
        "words": said and not said.finished,
        "words_finished": said and said.finished,
        "asked_finished": heard and heard.finished,
        "interrupted": content.interrupted,
        "generation_complete": content.generation_complete,
        "turn_complete": content.turn_complete,
        "tool_call": got.tool_call,
        "cancellation": got.tool_call_cancellation,
        "go_away": got.go_away,
        "resumable": update and update.resumable,
        "not_resumable": update and not update.resumable,
    }
    return [name for name, there in named.items() if there]


async def one(live: AsyncSession) -> types.LiveServerMessage:
    async with asyncio.timeout(5):
        async for got in live.receive():
            return got
    raise AssertionError("receive() ended without a message")


async def hear(live: AsyncSession, until: str = "turn_complete") -> Turn:
    turn = Turn()
    while until not in turn.order:
        turn.take(await one(live))
    return turn


async def ask(live: AsyncSession, text: str = SHORT) -> Turn:
    await live.send_realtime_input(text=text)
    return await hear(live)


async def lost(live: AsyncSession) -> errors.APIError:
    with pytest.raises(errors.APIError) as ended:
        await hear(live, "the end")
    return ended.value


async def quiet(live: AsyncSession, for_s: float = 0.15) -> bool:
    """Nothing comes for so long: the one thing that only time can show."""
    try:
        async with asyncio.timeout(for_s):
            async for _ in live.receive():
                return False
    except TimeoutError:
        return True
    return False


def ids(got: types.LiveServerMessage) -> list[str]:
    assert got.tool_call is not None
    return [call.id or "" for call in got.tool_call.function_calls or ()]


async def answer(live: AsyncSession, call_id: str, **more: Any) -> None:
    response = types.FunctionResponse(id=call_id, name="get_weather", response={"result": "mild"}, **more)
    await live.send_tool_response(function_responses=[response])


async def new_handle(live: AsyncSession, text: str = "my name is Grace") -> str:
    await ask(live, text)
    update = (await hear(live, "resumable")).messages[-1].session_resumption_update
    assert update is not None
    assert update.new_handle
    return update.new_handle


# --- connections that end


@pytest.mark.parametrize("code", [1000, 1001, 1007, 1008, 1011, 4000])
async def test_close_comes_with_its_code_and_reason(code: int) -> None:
    async with faulty({"fault": "close", "code": code, "reason": "why", "at": "turn_started"}) as emulator:
        async with session(emulator) as live:
            await live.send_realtime_input(text="hello")
            error = await lost(live)
        assert (error.code, error.details) == (code, "why")
        record = emulator.sessions[0]
        assert (record.close_code, record.close_reason, record.faults) == (code, "why", ["close"])
        assert record.sent_kinds["audio"] == 0


async def test_close_is_seen_by_a_client_that_is_sending() -> None:
    async with (
        faulty({"fault": "close", "at": "message_received", "nth": 20}) as emulator,
        session(emulator) as live,
    ):

        async def talk() -> None:
            while True:
                blob = types.Blob(data=bytes(6400), mime_type="audio/pcm;rate=16000")
                await live.send_realtime_input(audio=blob)

        talking = asyncio.create_task(talk())
        assert (await lost(live)).code == 1011
        with pytest.raises(Exception, match="1011"):
            await talking


@pytest.mark.parametrize("moment", ["connected", "setup_received"])
async def test_close_before_the_session_is_ready(moment: str) -> None:
    async with faulty({"fault": "close", "at": moment}) as emulator:
        with pytest.raises(Exception, match="1011"):
            async with session(emulator):
                pass


async def test_close_takes_the_nth_session_and_the_nth_turn() -> None:
    async with faulty({"fault": "close", "at": "turn_completed", "nth": 2, "session": 2}) as emulator:
        async with session(emulator) as live:
            for _ in range(3):
                await ask(live)
        async with session(emulator) as live:
            await ask(live)
            await ask(live)
            assert (await lost(live)).code == 1011
        assert [list(record.faults) for record in emulator.sessions] == [[], ["close"]]


async def test_times_and_chance_bound_a_fault() -> None:
    once = {"fault": "close", "times": 1}
    never = {"fault": "close", "chance": 0}
    async with faulty(once, never) as emulator:
        async with session(emulator) as live:
            await lost(live)
        async with session(emulator) as live:
            assert (await ask(live)).said == phrases.WHO


async def test_drop_tcp_has_no_close_frame() -> None:
    async with faulty({"fault": "drop_tcp", "at": "turn_started", "after_s": 0.05}, pace=10.0) as emulator:
        async with session(emulator) as live:
            await live.send_realtime_input(text="tell me a story")
            assert (await lost(live)).code == 1006
        assert emulator.sessions[0].dropped
        assert emulator.sessions[0].sent_kinds["audio"] > 0


async def test_go_away_caps_every_connection() -> None:
    async with faulty({"fault": "go_away", "after_s": 0.05, "time_left_s": 0.1}) as emulator:
        for number in range(3):
            async with session(emulator) as live:
                got = await one(live)
                assert got.go_away is not None
                assert got.go_away.time_left == "0.1s"
                assert (await lost(live)).code == 1011
            record = emulator.sessions[number]
            await emulator.wait_for(lambda: not emulator.sessions[-1].open)
            assert record.ended_s is not None
            assert 0.15 <= record.ended_s - record.connected_s < 2


async def test_go_away_then_silence() -> None:
    async with faulty({"fault": "go_away", "time_left_s": 0.05, "then": "silent"}) as emulator:
        async with session(emulator) as live:
            assert (await one(live)).go_away is not None
            await live.send_realtime_input(text="hello")
            await emulator.wait_for(lambda: emulator.sessions[0].received["Text"] == 1)
            assert await quiet(live)
        assert emulator.sessions[0].close_code is None


async def test_go_away_that_is_not_carried_out() -> None:
    async with (
        faulty({"fault": "go_away", "time_left_s": 0.0, "then": "stay"}) as emulator,
        session(emulator) as live,
    ):
        assert (await one(live)).go_away is not None
        assert (await ask(live)).said == phrases.WHO


# --- stalls and pings


async def test_stall_holds_what_was_to_be_sent() -> None:
    async with faulty({"fault": "stall", "at": "turn_started", "for_s": 0.2, "what": "send"}) as emulator:
        async with session(emulator) as live:
            await live.send_realtime_input(text=SHORT)
            await emulator.wait_for(lambda: bool(emulator.sessions[0].faults))
            assert await quiet(live, 0.1)
            turn = await hear(live)
        assert turn.said == phrases.WHO
        assert turn.order[-2:] == ["generation_complete", "turn_complete"]


async def test_stall_for_ever_can_be_left() -> None:
    async with faulty({"fault": "stall", "at": "turn_started"}) as emulator:
        async with session(emulator) as live:
            await live.send_realtime_input(text=SHORT)
            assert await quiet(live)
        await emulator.wait_for(lambda: not emulator.sessions[0].open)


async def test_a_stalled_reader_reads_on_later() -> None:
    async with faulty({"fault": "stall", "what": "read", "for_s": 0.2}) as emulator, session(emulator) as live:
        record = emulator.sessions[0]
        for _ in range(3):
            await live.send_realtime_input(text=SHORT)
        await emulator.wait_for(lambda: record.received["Text"] == 3)
        assert record.ready_s is not None
        assert asyncio.get_running_loop().time() - record.ready_s >= 0.2


async def test_a_missing_setup_complete() -> None:
    async with faulty({"fault": "stall", "at": "setup_received"}) as emulator:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), session(emulator):
                pass


async def test_slow_pongs_end_an_impatient_client_only() -> None:
    async with faulty({"fault": "slow_pong", "delay_s": 0.4}) as emulator:
        async with session(emulator, ws={"ping_interval": 0.05, "ping_timeout": 0.1}) as live:
            error = await lost(live)
        assert error.code in (1006, 1011)
        async with session(emulator, ws={"ping_interval": 0.05, "ping_timeout": 5}) as live:
            assert await quiet(live, 0.6)
            assert (await ask(live)).said == phrases.WHO


async def test_pings_are_answered_otherwise() -> None:
    async with (
        faulty({"fault": "drop_tcp", "session": 9}) as emulator,
        session(emulator, ws={"ping_interval": 0.02, "ping_timeout": 0.5}) as live,
    ):
        assert await quiet(live, 0.7)
        assert (await ask(live)).said == phrases.WHO


# --- odd messages


async def test_an_unknown_message_is_an_error_that_can_be_passed_over() -> None:
    script = {"fault": "unknown_message", "at": "turn_started", "every_s": 0.01, "times": 3}
    async with faulty(script, pace=10.0) as emulator, session(emulator) as live:
        await live.send_realtime_input(text=SHORT)
        turn, skipped = Turn(), 0
        while "turn_complete" not in turn.order:
            try:
                turn.take(await one(live))
            except TypeError:
                skipped += 1
        assert (skipped, turn.said) == (3, phrases.WHO)
        assert emulator.sessions[0].faults == ["unknown_message"] * 3


async def test_an_error_object_of_the_servers() -> None:
    body = {"code": 503, "message": "busy", "status": "UNAVAILABLE"}
    async with faulty({"fault": "unknown_message", "body": body}) as emulator, session(emulator) as live:
        with pytest.raises(errors.ServerError, match="busy"):
            await one(live)


@pytest.mark.parametrize(("limit", "survives"), [(1 << 20, False), (16 << 20, True)])
async def test_a_huge_message_needs_a_higher_limit(limit: int, survives: bool) -> None:
    async with faulty({"fault": "huge_message"}) as emulator, session(emulator, ws={"max_size": limit}) as live:
        if survives:
            assert (await one(live)).server_content is not None
        else:
            assert (await lost(live)).code in (1006, 1009)


# --- turns


async def test_the_first_audio_is_delayed() -> None:
    async with (
        faulty({"fault": "delay_first_audio", "delay_s": 0.25, "turn": 2}) as emulator,
        session(emulator) as live,
    ):
        await ask(live)
        record = emulator.sessions[0]
        record.first_spoken_s = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await ask(live)).said == phrases.WHO
        assert record.first_spoken_s is not None
        assert 0.25 <= record.first_spoken_s - began < 2


async def test_an_empty_turn_and_its_reason() -> None:
    async with (
        faulty({"fault": "empty_turn", "reason": "RESPONSE_REJECTED", "turn": 1}) as emulator,
        session(emulator) as live,
    ):
        turn = await ask(live)
        assert turn.order == ["generation_complete", "turn_complete"]
        content = turn.messages[-1].server_content
        assert content is not None
        assert content.turn_complete_reason == types.TurnCompleteReason.RESPONSE_REJECTED
        assert (await ask(live)).said == phrases.WHO


@pytest.mark.parametrize("amplitude", [0, 5])
async def test_speech_that_cannot_be_heard(amplitude: int) -> None:
    async with (
        faulty({"fault": "silent_speech", "amplitude": amplitude, "turn": 1}) as emulator,
        session(emulator) as live,
    ):
        mute, normal = await ask(live), await ask(live)
    assert mute.said == normal.said == phrases.WHO
    assert mute.pcm.size == normal.pcm.size
    assert np.abs(mute.pcm).max() <= amplitude
    assert bool(mute.pcm.any()) == bool(amplitude)


async def test_turn_complete_comes_twice() -> None:
    async with faulty({"fault": "duplicate_turn_complete", "turn": 1}) as emulator, session(emulator) as live:
        await ask(live)
        assert kinds(await one(live)) == ["turn_complete"]
        assert (await ask(live)).said == phrases.WHO


async def test_finished_is_sent_in_the_turns_that_shall_have_it() -> None:
    async with faulty({"fault": "finished_flags", "turn": 1}) as emulator, session(emulator) as live:
        assert (await ask(live)).order[-3:] == ["words_finished", "generation_complete", "turn_complete"]
        assert "words_finished" not in (await ask(live)).order


@pytest.mark.parametrize(("when", "finished"), [("uninterrupted", False), ("always", True)])
async def test_finished_in_a_turn_that_is_cut(when: str, finished: bool) -> None:
    cut = {"fault": "interrupt", "after_s": 0.05}
    async with (
        faulty({"fault": "finished_flags", "when": when}, cut, pace=10.0) as emulator,
        session(emulator) as live,
    ):
        turn = await ask(live, "tell me a story")
    assert turn.order[-2:] == ["interrupted", "turn_complete"]
    assert ("words_finished" in turn.order) == finished


@pytest.mark.parametrize(("one_message", "messages"), [(True, 1), (False, 12)])
async def test_a_storm_of_tool_calls(one_message: bool, messages: int) -> None:
    storm = {
        "fault": "tool_storm",
        "calls": 12,
        "args": {"city": "Rome"},
        "one_message": one_message,
        "when": "instead",
    }
    async with faulty(storm) as emulator, session(emulator, **tools()) as live:
        await live.send_realtime_input(text=SHORT)
        called = [call for _ in range(messages) for call in ids(await one(live))]
        assert len(set(called)) == 12
        for call_id in reversed(called):
            await answer(live, call_id)
        assert "turn_complete" in (await hear(live)).order
    assert emulator.sessions[0].violations == []


async def test_a_storm_after_speech() -> None:
    async with (
        faulty({"fault": "tool_storm", "when": "after_speech"}) as emulator,
        session(emulator, **tools(BEHIND)) as live,
    ):
        turn = await ask(live)
    assert turn.said == phrases.WHO
    assert turn.order[-3:] == ["tool_call", "generation_complete", "turn_complete"]


async def test_a_cancellation() -> None:
    async with faulty({"fault": "cancel_tools"}) as emulator, session(emulator, **tools()) as live:
        await live.send_realtime_input(text="weather in Rome")
        called = ids(await one(live))
        turn = await hear(live)
        assert turn.order[0] == "cancellation"
        assert turn.messages[0].tool_call_cancellation is not None
        assert turn.messages[0].tool_call_cancellation.ids == called
        assert turn.said == phrases.TOOL_SILENT
        await answer(live, called[0])
        assert (await ask(live)).said == phrases.WHO
    assert emulator.sessions[0].violations == []


async def test_the_server_interrupts_by_itself() -> None:
    async with (
        faulty({"fault": "interrupt", "after_s": 0.05, "nth": 1}, pace=10.0) as emulator,
        session(emulator) as live,
    ):
        cut = await ask(live, "tell me a story")
        assert cut.order[-2:] == ["interrupted", "turn_complete"]
        assert 0 < cut.pcm.size < 5 * 24_000
        assert (await ask(live)).said == phrases.WHO


def loudest_hz(pcm: Pcm) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(pcm.astype(np.float64), 24_000))))


async def test_audio_inside_the_message_that_interrupts() -> None:
    script = {"fault": "audio_with_interrupted", "tone_hz": 2000}
    async with (
        faulty(script, {"fault": "interrupt", "after_s": 0.05}, pace=10.0) as emulator,
        session(emulator) as live,
    ):
        cut = await ask(live, "tell me a story")
    (message,) = [got for got in cut.messages if "interrupted" in kinds(got)]
    assert kinds(message) == ["audio", "interrupted"]
    assert abs(loudest_hz(cut.pcm[-960:]) - 2000) < 30


@pytest.mark.parametrize("after", ["interrupted", "turn_complete"])
async def test_late_chunks(after: str) -> None:
    script = {"fault": "late_chunks", "chunks": 4, "after": after, "nth": 1}
    async with faulty(script, {"fault": "interrupt", "after_s": 0.05}, pace=10.0) as emulator:
        async with session(emulator) as live:
            cut = await ask(live, "tell me a story")
            if after == "interrupted":
                assert cut.order[-3:] == ["interrupted", "audio", "turn_complete"]
            else:
                assert cut.order[-2:] == ["interrupted", "turn_complete"]
                assert [kinds(await one(live)) for _ in range(4)] == [["audio"]] * 4
        assert emulator.sessions[0].sent_kinds["lateAudio"] == 4


async def test_the_pace_can_be_exactly_real_time_or_slower() -> None:
    async with faulty({"fault": "pace", "times_real_time": 0.5, "session": 2}, pace=50.0) as emulator:
        spans = []
        for _ in range(2):
            async with session(emulator) as live:
                await live.send_realtime_input(text="roll a die")
                await hear(live)
            record = emulator.sessions[-1]
            assert record.first_spoken_s is not None
            assert record.last_spoken_s is not None
            spans.append((record.last_spoken_s - record.first_spoken_s) / (0.04 * (record.sent_kinds["audio"] - 1)))
    assert spans[0] < 0.5
    assert spans[1] == pytest.approx(2.0, rel=0.15)


# --- connecting and resuming


async def test_an_upgrade_is_refused_with_its_status() -> None:
    script = {"fault": "refuse_upgrade", "status": 429, "retry_after_s": 2, "times": 2}
    async with faulty(script) as emulator:
        for _ in range(2):
            with pytest.raises(Exception, match="429") as refused:
                async with session(emulator):
                    pass
            assert refused.value.response.headers["Retry-After"] == "2"  # type: ignore[attr-defined]
        async with session(emulator) as live:
            assert (await ask(live)).said == phrases.WHO
        assert [record.http_status for record in emulator.sessions] == [429, 429, None]
        assert [record.number for record in emulator.sessions] == [1, 2, 3]


@pytest.mark.parametrize("script", [{"fault": "refuse_upgrade", "status": 503}, {"fault": "refuse_setup"}])
async def test_only_so_many_sessions_at_once(script: dict[str, Any]) -> None:
    async with faulty({**script, "beyond": 1}) as emulator:
        async with session(emulator):
            with pytest.raises(Exception, match=r"503|quota"):
                async with session(emulator):
                    pass
        await emulator.wait_for(lambda: not any(record.open for record in emulator.sessions))
        async with session(emulator) as live:
            assert (await ask(live)).said == phrases.WHO


async def test_a_quota_refusal_looks_like_an_internal_error() -> None:
    async with faulty({"fault": "refuse_setup"}) as emulator:
        with pytest.raises(errors.APIError, match="quota") as refused:
            async with session(emulator):
                pass
        assert refused.value.code == 1011
        assert emulator.sessions[0].violations == []


async def test_a_text_that_is_refused_wherever_it_stands() -> None:
    async with faulty({"fault": "refuse_text", "text": "poison"}) as emulator:
        async with session(emulator) as live:
            assert (await ask(live)).said == phrases.WHO
            await live.send_realtime_input(text="some poison")
            refused = await lost(live)
        assert (refused.code, refused.details) == (1007, "Request contains an invalid argument.")
        async with session(emulator) as live:
            await live.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="poison")]))
            assert (await lost(live)).code == 1007
        with pytest.raises(errors.APIError) as at_setup:
            async with session(emulator, system_instruction="poison"):
                pass
        assert at_setup.value.code == 1007
        assert [record.violations for record in emulator.sessions] == [[], [], []]


async def test_handles_come_at_resumable_moments_only() -> None:
    async with faulty() as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            turn = await ask(live)
            assert turn.order[0] == "not_resumable"
            assert "resumable" not in turn.order
            assert kinds(await one(live)) == ["resumable"]
        assert len(emulator.sessions[0].handles) == 1


async def test_no_handle_while_a_background_call_is_open() -> None:
    async with faulty() as emulator, session(emulator, session_resumption=RESUMABLE, **tools(BEHIND)) as live:
        await live.send_realtime_input(text="weather in Rome")
        turn = await hear(live)
        (call_id,) = [call for got in turn.messages if got.tool_call for call in ids(got)]
        assert await quiet(live)
        await answer(live, call_id, scheduling=types.FunctionResponseScheduling.SILENT)
        assert kinds(await one(live)) == ["resumable"]


async def test_a_resumed_session_knows_where_it_comes_from() -> None:
    async with faulty() as emulator:
        handle = None
        for _ in range(3):
            async with session(emulator, **resume(handle)) as live:
                for _ in range(2):
                    blob = types.Blob(data=bytes(640), mime_type="audio/pcm;rate=16000")
                    await live.send_realtime_input(audio=blob)
                handle = await new_handle(live, "hello")
                await live.send_realtime_input(audio=blob)
                await emulator.wait_for(lambda: emulator.sessions[-1].received["Audio"] == 3)
        last = emulator.sessions[-1]
        assert last.lineage == (3, 2, 1)
        assert [record.number for record in emulator.chain(last)] == [1, 2, 3]
        assert last.restored == (("user", "hello"), ("model", phrases.GREETING)) * 2
        assert emulator.caller_audio(last).size == 9 * 320
        assert emulator.model_audio(last).size == (2 + 2 + 3) * 320  # what came after a handle is not in it


async def test_a_refused_handle() -> None:
    async with faulty({"fault": "refuse_handle", "times": 1}) as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
        with pytest.raises(errors.APIError, match="not found") as refused:
            async with session(emulator, **resume(handle)):
                pass
        assert refused.value.code == 1008
        assert emulator.sessions[1].violations == []
        async with session(emulator, **resume(handle)) as live:
            assert (await ask(live, "what is my name")).said == "Your name is Grace."


async def test_a_poisoned_handle_dies_each_time() -> None:
    async with faulty({"fault": "poison_handle", "issued_by": 1, "after_s": 0.05}) as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
        for _ in range(2):
            async with session(emulator, **resume(handle)) as live:
                assert (await lost(live)).code == 1011
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
        async with session(emulator, **resume(handle)) as live:
            assert await quiet(live)


async def test_a_context_that_is_lost_in_silence() -> None:
    async with faulty({"fault": "forget_context"}) as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
        async with session(emulator, **resume(handle)) as live:
            assert (await ask(live, "what is my name")).said == phrases.NO_NAME
        assert emulator.sessions[1].restored == ()
        assert emulator.sessions[1].lineage == (2, 1)


async def test_resuming_while_the_old_socket_is_open() -> None:
    async with faulty({"fault": "refuse_resume_while_open"}) as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
            with pytest.raises(errors.APIError) as refused:
                async with session(emulator, **resume(handle)):
                    pass
            assert refused.value.code == 1011
        async with session(emulator, **resume(handle)) as live:  # at once: the old one was closed before
            assert (await ask(live, "what is my name")).said == "Your name is Grace."


@asynccontextmanager
async def raw(emulator: Emulator, setup: dict[str, Any]) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"x-goog-api-key": "any"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(emulator.url + GEMINI, ssl=emulator.ssl_context()) as socket,
    ):
        await socket.send_json({"setup": {"model": "models/m", **setup}})
        yield socket


@pytest.mark.parametrize(
    ("resumption", "missing", "refused"),
    [({"handle": None}, False, True), ({"handle": ""}, False, True), ({}, False, False), ({}, True, True)],
)
async def test_a_null_handle(resumption: dict[str, Any], missing: bool, refused: bool) -> None:
    async with (
        faulty({"fault": "refuse_null_handle", "missing": missing}) as emulator,
        raw(emulator, {"sessionResumption": resumption}) as socket,
    ):
        got = await socket.receive(5)
        assert (got.type is aiohttp.WSMsgType.CLOSE) == refused
        assert (socket.close_code == 1007) == refused


async def test_handles_are_withheld() -> None:
    async with (
        faulty({"fault": "withhold_handles"}) as emulator,
        session(emulator, session_resumption=RESUMABLE) as live,
    ):
        turn = await ask(live)
        assert "not_resumable" not in turn.order
        assert await quiet(live)


# --- the audit


async def test_a_clean_client_breaks_no_rule() -> None:
    async with faulty() as emulator:
        async with session(emulator, **tools()) as live:
            await live.send_realtime_input(text="weather in Rome")
            await answer(live, ids(await one(live))[0])
            await hear(live)
        await emulator.wait_for(lambda: not emulator.sessions[0].open)
        assert emulator.sessions[0].violations == []


async def test_a_changed_rate_ends_the_session() -> None:
    async with faulty() as emulator, session(emulator) as live:
        for rate in (16_000, 24_000):
            blob = types.Blob(data=bytes(640), mime_type=f"audio/pcm;rate={rate}")
            await live.send_realtime_input(audio=blob)
        assert (await lost(live)).code == 1007
        assert emulator.sessions[0].violations == ["1007 The audio's sample rate changed from 16000 to 24000 Hz."]


async def test_text_that_is_not_unicode_ends_the_session() -> None:
    async with faulty() as emulator, session(emulator) as live:
        await live.send_realtime_input(text="half \ud83d")
        assert (await lost(live)).code == 1007
        assert emulator.sessions[0].violations == ["1007 Invalid JSON payload received."]


@pytest.mark.parametrize("mime", [{}, {"mime_type": "audio/pcm"}, {"mime_type": "audio/pcm;rate=4000"}])
async def test_audio_without_its_rate_ends_the_session(mime: dict[str, str]) -> None:
    async with faulty() as emulator, raw(emulator, {}) as socket:
        await socket.receive(5)
        await socket.send_json({"realtime_input": {"audio": {"data": "AAE=", **mime}}})
        assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1007
        assert emulator.sessions[0].violations[0].startswith("1007 Audio must be")


@pytest.mark.parametrize("declaration", [TOOL, BEHIND])
async def test_a_double_answer_ends_the_session(declaration: types.FunctionDeclaration) -> None:
    async with faulty() as emulator, session(emulator, **tools(declaration)) as live:
        await live.send_realtime_input(text="weather in Rome")
        (call_id,) = ids(await one(live))
        await answer(live, call_id)
        await answer(live, call_id)
        error = await lost(live)
        assert error.code == 1008
        assert emulator.sessions[0].violations == ["1008 Function call call-1 was answered already."]


async def test_progress_is_not_an_answer() -> None:
    async with faulty() as emulator, session(emulator, **tools(BEHIND)) as live:
        await live.send_realtime_input(text="weather in Rome")
        (call_id,) = ids(await one(live))
        for more in (True, True, False):
            await answer(live, call_id, will_continue=more, scheduling=types.FunctionResponseScheduling.SILENT)
        await emulator.wait_for(lambda: len(emulator.sessions[0].tool_results) == 3)
        assert emulator.sessions[0].violations == []


async def test_an_answer_to_a_dead_id_is_a_violation() -> None:
    async with faulty() as emulator, session(emulator) as live:
        await answer(live, "call-7")
        assert (await ask(live)).said == phrases.WHO
        assert "which this session did not make" in emulator.sessions[0].violations[0]


async def test_an_unanswered_call_is_a_violation() -> None:
    async with faulty() as emulator:
        async with session(emulator, **tools()) as live:
            await live.send_realtime_input(text="weather in Rome")
            await one(live)
        await emulator.wait_for(lambda: not emulator.sessions[0].open)
        assert emulator.sessions[0].violations == ["function call call-1 was never answered"]


async def test_a_call_that_a_fault_cut_off_owes_no_answer() -> None:
    async with faulty({"fault": "close", "at": "tool_called"}) as emulator:
        async with session(emulator, **tools()) as live:
            await live.send_realtime_input(text="weather in Rome")
            await lost(live)
        await emulator.wait_for(lambda: not emulator.sessions[0].open)
        assert emulator.sessions[0].violations == []


async def test_a_history_on_top_of_a_resumed_one_ends_the_session() -> None:
    history: list[types.Content | types.ContentDict] = [
        types.Content(role="user", parts=[types.Part(text="hello")]),
        types.Content(role="model", parts=[types.Part(text="Hello.")]),
    ]
    async with faulty() as emulator:
        async with session(emulator, session_resumption=RESUMABLE) as live:
            handle = await new_handle(live)
        async with session(emulator, **resume(handle)) as live:
            await live.send_client_content(turns=history[0], turn_complete=True)
            await hear(live)
            await live.send_client_content(turns=history, turn_complete=False)
            assert (await lost(live)).code == 1007
        assert emulator.sessions[1].violations[0].startswith("1007 A resumed session has its history")


# --- the doors


class Deaf(Hooks):
    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if message.kind == "audio" else message


async def test_a_tests_own_hooks_go_on_working() -> None:
    async with faulty({"fault": "duplicate_turn_complete"}, hooks=Deaf) as emulator, session(emulator) as live:
        assert not (await ask(live)).audio
        assert kinds(await one(live)) == ["turn_complete"]


async def test_a_script_that_cannot_be_understood_starts_nothing() -> None:
    with pytest.raises(ConfigError, match=r"line 1: close: code"):
        async with running_emulator(faults='{"fault": "close", "code": 1}'):
            pass


def test_the_command_refuses_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "faults.jsonl"
    script.write_text('\n{"fault": "clothes"}', encoding="utf-8")
    assert main(["--faults", str(script), "--no-speech-recognition"]) == 2
    assert "faults.jsonl, line 2: fault must be one of go_away" in capsys.readouterr().err


TOLD = {"fault": "usage", "prompt": {"AUDIO": 1000, "VIDEO": 258}, "response": {"AUDIO": 500}, "turn": 2}


async def test_usage_grows_by_what_the_script_says() -> None:
    async with faulty(TOLD) as emulator, session(emulator) as live:
        first, second = [usage_of(await ask(live)) for _ in range(2)]
    assert first.prompt_token_count is not None
    assert first.prompt_token_count < 100
    assert {
        each.modality.value: each.token_count for each in second.prompt_tokens_details or () if each.modality
    } == {
        "TEXT": 2 * first.prompt_token_count,  # the context is billed anew
        "AUDIO": 1000,
        "VIDEO": 258,
    }
    assert second.prompt_token_count == 2 * first.prompt_token_count + 1258
    assert second.response_token_count == (first.response_token_count or 0) + 500
    assert second.total_token_count == second.prompt_token_count + second.response_token_count


async def test_usage_without_details() -> None:
    async with faulty({**TOLD, "turn": 1, "details": False}) as emulator, session(emulator) as live:
        turn = await ask(live)
    usage = usage_of(turn)
    assert usage.prompt_tokens_details is usage.response_tokens_details is None
    prompt, response = usage.prompt_token_count or 0, usage.response_token_count or 0
    assert prompt > 1258
    assert [fact for message in turn.messages for fact in facts(message) if isinstance(fact, Usage)] == [
        Usage({"UNKNOWN": prompt}, {"UNKNOWN": response})
    ]


def usage_of(turn: Turn) -> types.UsageMetadata:
    (usage,) = [message.usage_metadata for message in turn.messages if message.usage_metadata is not None]
    return usage
