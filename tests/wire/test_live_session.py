"""A Live session against a server on this machine: the real SDK over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from google import genai
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosedOK

from agent.clock import monotonic
from agent.emulator import Emulator, Raw, Say, ServerMessage, running_emulator
from agent.errors import LiveLost, LiveRefused
from agent.live import session, wire
from agent.live.client import live_client
from agent.live.config import LiveEndpoint, SessionSetup
from agent.live.endings import Ending, error_of
from agent.live.pulse import Pulse
from agent.live.replay import ReplayRing
from agent.live.session import LiveSession, Opening, SessionPorts
from agent.live.uplink import Audio, Note, TypedText, Uplink
from agent.picture import Picture
from agent.settings import Settings
from tests.support.service import emulator_endpoint

LIMIT_S = 0.4


def ports(
    uplink: Uplink,
    on_ready: Callable[[], None] = lambda: None,
    on_fact: Callable[[wire.Fact], None] = lambda _fact: None,
) -> SessionPorts:
    return SessionPorts(
        uplink,
        ReplayRing(),
        on_ready=on_ready,
        on_fact=on_fact,
        on_picture=lambda _picture: None,
        pulse=Pulse(monotonic),
        on_unreadable=lambda: None,
        clock=monotonic,
    )


@asynccontextmanager
async def connected(
    emulator: Emulator,
) -> AsyncIterator[tuple[Uplink, asyncio.Task[Ending], asyncio.Queue[wire.Fact]]]:
    """Hold a session; yields its uplink, its running task and the facts that come."""
    settings, ready, facts = Settings(), asyncio.Event(), asyncio.Queue[wire.Fact]()
    client = live_client(emulator_endpoint(emulator, offline_demo=True), settings)
    uplink = Uplink()
    live = LiveSession(client, SessionSetup.of(settings), ports(uplink, ready.set, facts.put_nowait))
    task = asyncio.create_task(live.run(Opening()))
    try:
        await asyncio.wait_for(ready.wait(), 10)
        yield uplink, task, facts
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Deaf:
    """A server that has stopped reading, as the SDK's session shows it: what is sent never leaves."""

    async def send_realtime_input(self, **_input: object) -> None:
        await asyncio.Event().wait()


async def test_a_server_that_takes_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SEND_TIMEOUT_S", LIMIT_S)
    uplink = Uplink()
    live = LiveSession(genai.Client(api_key="any"), SessionSetup.of(Settings()), ports(uplink))
    uplink.put(Audio(bytes(640)))
    started = monotonic()
    async with asyncio.timeout(10 * LIMIT_S):
        ending = await live._send(cast(AsyncSession, Deaf()), Opening())
    assert ending is not None
    assert "stopped reading" in str(error_of(ending))
    assert monotonic() - started >= LIMIT_S


class Saying:
    """A server's socket: the SDK's session above it is real."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    async def recv(self, decode: bool | None = None) -> bytes:
        if not self._texts:
            raise ConnectionClosedOK(None, None)
        return self._texts.pop(0).encode()


@pytest.mark.parametrize(
    "text",
    [
        '["of another shape"]',
        '"text"',
        "5",
        '{"toolCall": {"functionCalls": [3]}}',
        '{"serverContent": {"turnComplete": true, "turnCompleteReason": 5}}',
        '{"serverContent": {"modelTurn": {"parts": [{"executableCode": {"language": 1}}]}}}',
        '{"toolCall": {"functionCalls": [{"args": {"a": ' + "[" * 900 + "]" * 900 + "}}]}}",
        '{"goAway": {"timeLeft": ' + "[" * 90_000 + "]" * 90_000 + "}}",
        "{",
        "\x00",
    ],
)
@pytest.mark.filterwarnings("ignore:.* is not a valid:UserWarning")
async def test_a_message_that_cannot_be_read_costs_itself(text: str) -> None:
    """What of it ends up with whoever acts on it is none of the message that comes after."""
    told, unreadable = list[wire.Fact](), list[None]()
    client = genai.Client(api_key="any")
    heard = replace(ports(Uplink(), on_fact=told.append), on_unreadable=lambda: unreadable.append(None))
    socket: Any = Saying(text, '{"goAway": {"timeLeft": "9s"}}')
    ending = await LiveSession(client, SessionSetup.of(Settings()), heard)._receive(
        AsyncSession(client._api_client, socket)
    )
    assert isinstance(error_of(ending), LiveLost)
    assert (told, len(unreadable)) == ([wire.GoAway(9.0)], 1)


async def test_an_error_of_whoever_is_told_is_none_of_the_message() -> None:
    def stumble(_fact: wire.Fact) -> None:
        raise ValueError

    client, socket = genai.Client(api_key="any"), cast(Any, Saying('{"goAway": {"timeLeft": "9s"}}'))
    live = LiveSession(client, SessionSetup.of(Settings()), ports(Uplink(), on_fact=stumble))
    with pytest.raises(ValueError):
        await live._receive(AsyncSession(client._api_client, socket))


async def test_a_pause_between_messages_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SEND_TIMEOUT_S", LIMIT_S)
    async with (
        running_emulator(speech_recognition=False, pace=50.0, await_playback=False) as emulator,
        connected(emulator) as (uplink, task, facts),
    ):
        for _ in range(2):
            await asyncio.sleep(2 * LIMIT_S)
            uplink.put(TypedText("who are you"))
            async with asyncio.timeout(10):
                while not isinstance(await facts.get(), wire.TurnComplete):
                    pass
        assert not task.done()


@pytest.mark.parametrize("wants_reply", [True, False])
async def test_a_note_about_pictures_is_one_content(wants_reply: bool) -> None:
    async with (
        running_emulator(speech_recognition=False, pace=50.0, await_playback=False) as emulator,
        connected(emulator) as (uplink, _task, _facts),
    ):
        uplink.put(Note("a plan", wants_reply=wants_reply, pictures=(Picture(b"1", "image/png"),)))
        (session,) = emulator.sessions
        await emulator.wait_for(lambda: bool(session.contents))
        (content,) = session.contents
        assert [(picture.mime, picture.data) for picture in content.pictures] == [("image/png", b"1")]
        assert (content.turns, content.turn_complete) == ((("user", "a plan"),), wants_reply)


DEEP: dict[str, Any] = {}
for _ in range(500):
    DEEP = {"a": DEEP}
UNREADABLE: list[Any] = [
    {"serverContent": {"turnCompleteReason": 5}},
    {"serverContent": {"modelTurn": {"parts": [{"executableCode": {"language": 1, "code": "x"}}]}}},
    {"serverContent": {"modelTurn": {"parts": [{"codeExecutionResult": {"outcome": 2}}]}}},
    {"usageMetadata": {"promptTokensDetails": [{"modality": 3, "tokenCount": 1}]}},
    {"usageMetadata": {"trafficType": 1}},
    {"serverContent": []},
    {"serverContent": 7},
    {"toolCall": {"functionCalls": [{"name": "f", "args": DEEP}]}},
    {"toolCall": {"functionCalls": 1}},
    {"goAway": [], "of no kind": 1},
    {"of no kind": 1},
    [],
    "text",
    3,
]


@pytest.mark.parametrize("message", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_a_message_that_cannot_be_read_is_one_message(message: Any) -> None:
    """A number where the server has words, for instance."""
    raw = Raw(ServerMessage("raw", json.dumps(message).encode()))
    script = (Say("One."), raw, raw, Say("Two."))
    async with (
        running_emulator(
            speech_recognition=False, pace=50.0, await_playback=False, on_turn=lambda _turn: script
        ) as emulator,
        connected(emulator) as (uplink, task, facts),
    ):
        uplink.put(TypedText("go on"))
        said = ""
        async with asyncio.timeout(10):
            while not isinstance(fact := await facts.get(), wire.TurnComplete):
                said += fact.text if isinstance(fact, wire.OutputTranscript) else ""
        assert "One." in said
        assert "Two." in said
        assert not task.done()


async def test_a_proxys_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSS_PROXY", "gopher://me:secret@proxy.example:70")
    settings = Settings()
    client = live_client(LiveEndpoint("any", "https://live.example"), settings)
    with pytest.raises(LiveRefused, match=r"gopher://\.\.\.@proxy\.example") as refused:
        await session.try_session(client, settings)
    assert "secret" not in refused.value.detail
