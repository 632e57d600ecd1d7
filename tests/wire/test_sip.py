"""The phone line against a gateway that does what the test wants."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from agent.emulator import Emulator
from agent.errors import ConfigError
from signaling.history.history import open_history
from signaling.phone import janus, sip_call, sip_setup
from signaling.phone import sip_line as sip
from tests.support.fake_janus import FakeJanus, fake_janus, telephone
from tests.support.service import ServiceFactory

PASSWORD = "the-password"
Phones = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in hundredths of a second."""
    monkeypatch.setattr(sip, "MIN_RETRY_S", 0.02)
    monkeypatch.setattr(sip, "MAX_RETRY_S", 0.05)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeJanus]:
    async with fake_janus() as fake:
        yield fake


@pytest.fixture
def with_line(service: ServiceFactory, gateway: FakeJanus) -> Phones:
    """Start a service with a phone line; ``ready=False`` does not wait for its registration."""

    @asynccontextmanager
    async def start(*, ready: bool = True, **changes: Any) -> AsyncIterator[str]:
        values: dict[str, Any] = {
            "janus_url": gateway.url,
            "janus_secret": "fake-secret",
            "sip_user": "sip:agent@agent.local",
            "sip_password": PASSWORD,
            "sip_proxy": "sip:127.0.0.1:5060",
            "sip_lines": 2,
            "dial": True,
            "dial_allowed": ["+1555*", "sip:*@example.org"],
        }
        async with service(**(values | changes)) as url:
            if ready:
                await until_ready(url)
            yield url

    return start


async def get(url: str, path: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(url + path) as response:
        return response.status, await response.json()


async def post(url: str, wish: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url + "v1/calls", json=wish) as response,
    ):
        return response.status, await response.json()


async def until(url: str, path: str, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while not found(body := (await get(url, path))[1]):  # noqa: ASYNC110  of a service there is no event
            await asyncio.sleep(0.01)
    return body


async def until_ready(url: str) -> None:
    await until(url, "readyz", lambda body: body["status"] == "ready")


async def until_idle(url: str) -> None:
    await until(url, "readyz", lambda body: body["calls"] == 0)


# the line


async def test_a_line_registers_once_and_adds_helpers(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(sip_lines=3) as url:
        status, body = await get(url, "readyz")
        assert (status, body["phone"]) == (200, "registered")
    registers = gateway.asked("register")
    assert [each.body.get("type") for each in registers] == [None, "helper", "helper"]
    assert registers[0].body["secret"] == PASSWORD
    assert registers[0].body["authuser"] == "agent"
    assert [each.body["master_id"] for each in registers[1:]] == [7, 7]
    assert [each.handle for each in registers] == gateway.handles


async def test_a_line_without_a_password_registers_nowhere(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(sip_password=None, sip_lines=1):
        (request,) = gateway.asked("register")
        assert request.body["type"] == "guest"
        assert "secret" not in request.body


async def test_a_wrong_secret_keeps_the_service_unready(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(ready=False, janus_secret="wrong") as url:
        body = await until(url, "readyz", lambda body: "Unauthorized" in body["phone"])
        assert (await get(url, "readyz"))[0] == 503
        assert body["status"] == "unavailable"
        assert not gateway.asked("register")


async def test_a_gateway_that_is_not_there_yet(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(ready=False, janus_url="ws://127.0.0.1:9") as url:
        await until(url, "readyz", lambda body: "cannot be reached" in body["phone"])
        assert not gateway.connections


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9/janus?token=S3CRET", "Cannot connect"),
        ("{gateway}/elsewhere?token=S3CRET#S3CRET", "404"),
        ("127.0.0.1:99999/?token=S3CRET", "ws://***@127.0.0.1:99999/?***"),
        ("127.0.0.1:9/?token=a@S3CRET", "ws://***:"),
    ],
    ids=["nobody there", "not found", "no port", "odd"],
)
async def test_the_gateways_password_is_not_shown(
    with_line: Phones, gateway: FakeJanus, caplog: pytest.LogCaptureFixture, address: str, said: str
) -> None:
    """Neither to whoever asks whether the service is ready, nor in the log, wherever in the URL it is."""
    caplog.set_level(logging.DEBUG, logger="signaling")
    url = "ws://ann:S3CRET@" + address.format(gateway=gateway.url.removeprefix("ws://"))
    async with with_line(ready=False, janus_url=url) as service_url:
        body = await until(service_url, "readyz", lambda body: "not registered yet" not in body["phone"])
    assert said in body["phone"]
    # The fake gateway has a log of its own.
    said_in_log = [record.getMessage() for record in caplog.records if record.name.startswith("signaling")]
    assert any("cannot be reached" in line for line in said_in_log)
    assert not any("S3CRET" in line for line in (body["phone"], *said_in_log))
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sip-line"]


async def test_a_wrong_password_is_tried_again_until_it_is_right(
    with_line: Phones, gateway: FakeJanus, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.registration = {"event": "registration_failed", "code": 904, "reason": "no matching challenge"}
    async with with_line(ready=False) as url:
        await until(url, "readyz", lambda body: "904" in body["phone"])
        await gateway.until(lambda: len(gateway.asked("register")) >= 3)
        gateway.registration = {"event": "registered", "master_id": 7}
        await until_ready(url)
    assert caplog.text.count("904") == 1  # said once, not at each attempt
    assert PASSWORD not in caplog.text


async def test_a_registrar_that_goes_does_not_end_calls(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line() as url, telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("accept"))
        gateway.registration = {"event": "registration_failed", "code": 408, "reason": "Request Timeout"}
        await gateway.tell(gateway.handles[0], gateway.registration)
        body = await until(url, "readyz", lambda body: "408" in body["phone"])
        assert body["calls"] == 1
        gateway.registration = {"event": "registered", "master_id": 7}
        await until_ready(url)
        assert (await get(url, "readyz"))[1]["calls"] == 1
        assert len(gateway.handles) == 2  # no second set of helpers


async def test_a_registration_that_is_renewed_changes_nothing(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line() as url:
        for _ in range(3):
            await gateway.tell(gateway.handles[0], gateway.registration)
        await gateway.tell(gateway.handles[0], {"event": "registration_failed", "code": 503, "reason": "Down"})
        await gateway.until(lambda: len([each for each in gateway.asked("register") if "secret" in each.body]) == 2)
        await until_ready(url)
        assert gateway.connections == 1


async def test_a_phone_that_is_switched_off_is_given_up(
    with_line: Phones, gateway: FakeJanus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_call, "MAX_SILENCE_S", 0.2)
    monkeypatch.setattr(sip_call, "SILENCE_POLL_S", 0.02)
    async with with_line() as url, telephone() as (pc, offer):  # it sends nothing
        await gateway.ring(gateway.handles[0], offer)
        (accept,) = await gateway.until(lambda: gateway.asked("accept"))
        assert accept.jsep is not None
        await connect(pc, accept.jsep["sdp"])
        await gateway.until(lambda: gateway.asked("hangup"))
        await until_idle(url)


async def test_a_lost_gateway_ends_its_calls_and_is_found_again(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator
) -> None:
    async with with_line() as url, telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[1], offer)
        await emulator.wait_for(lambda: len(emulator.sessions) == 1)
        await gateway.drop()
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=1)
        await gateway.until(lambda: gateway.connections == 2)
        await until_ready(url)
        await until_idle(url)
        assert not gateway.asked("hangup")  # there was nobody to tell
        await gateway.ring(gateway.handles[-1], offer)
        await gateway.until(lambda: gateway.asked("accept"))


async def test_a_gateway_that_falls_silent_is_given_up(
    with_line: Phones, gateway: FakeJanus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janus, "KEEPALIVE_INTERVAL_S", 0.02)
    monkeypatch.setattr(janus, "REQUEST_TIMEOUT_S", 0.1)
    async with with_line() as url:
        await gateway.until(lambda: gateway.keepalives >= 3)
        gateway.mute = True
        await until(url, "readyz", lambda body: body["status"] == "unavailable")
        gateway.mute = False
        await until_ready(url)
        assert gateway.connections >= 2


async def test_what_is_not_understood_does_no_harm(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line() as url, telephone() as (_pc, offer):
        nested = '{"plugindata":' * 10_000 + "1" + "}" * 10_000
        for text in (
            "",
            "[" * 100_000,
            nested,
            "[]",
            "null",
            "{}",
            '{"janus": "event"}',
            '{"janus": "hangup", "sender": []}',
            '"x"',
        ):
            await gateway.send(text)
        junk: list[dict[str, Any]] = [{}, {"plugindata": 3}, {"plugindata": {"data": []}}, {"jsep": 1}]
        for each in junk:
            await gateway.send({"janus": "event", "sender": gateway.handles[0], **each})
        await gateway.tell(gateway.handles[0], {"event": "hangup"})
        await gateway.ring(gateway.handles[0], offer, headers=None, displayname=None)
        await gateway.until(lambda: gateway.asked("accept"))
        assert (await get(url, "readyz"))[0] == 200


# telephones that call


async def test_a_telephone_is_answered_and_heard_to_go(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator
) -> None:
    async with with_line() as url, telephone() as (pc, offer):
        handle = gateway.handles[1]
        await gateway.ring(handle, offer, headers={"X-Customer": "42"})
        (accept,) = await gateway.until(lambda: gateway.asked("accept"))
        assert accept.jsep is not None
        assert accept.jsep["type"] == "answer"
        await connect(pc, accept.jsep["sdp"])
        await emulator.wait_for(lambda: len(emulator.sessions) == 1 and bool(emulator.sessions[0].setup))
        told = str(emulator.sessions[0].setup["systemInstruction"])
        assert all(word in told for word in ("+15550001", "Ann", "X-Customer", "unverified"))
        await gateway.tell(handle, {"event": "hangup", "code": 200, "reason": "Session Terminated"})
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=1)
        await until_idle(url)
        assert not gateway.asked("hangup")


async def connect(pc: RTCPeerConnection, answer: str) -> None:
    connected = asyncio.Event()

    def changed() -> None:
        if pc.connectionState == "connected":
            connected.set()

    pc.on("connectionstatechange", changed)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(5):
        await connected.wait()


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "opus"])
async def test_the_answer_is_in_the_phones_codec(with_line: Phones, gateway: FakeJanus, codec: str) -> None:
    async with with_line(sip_lines=1), telephone(codec) as (_pc, offer):
        await gateway.ring(gateway.handles[0], with_keys(offer))
        (accept,) = await gateway.until(lambda: gateway.asked("accept"))
        assert accept.jsep is not None
        assert f" {codec}/" in accept.jsep["sdp"]
        assert "a=setup:passive" in accept.jsep["sdp"]  # the gateway begins, once it is ready
        assert "a=rtpmap:101 telephone-event/8000" in accept.jsep["sdp"]
        assert "a=fmtp:101 0-15" in accept.jsep["sdp"]


def with_keys(offer: str) -> str:
    """Let the phone offer its keys first, as some do."""
    lines = []
    for line in offer.splitlines():
        if line.startswith("m=audio "):
            words = line.split()
            lines += [" ".join([*words[:3], "101", *words[3:]]), "a=rtpmap:101 telephone-event/8000"]
        else:
            lines.append(line)
    return "\r\n".join(lines) + "\r\n"


async def test_a_call_that_the_operator_ends_is_hung_up(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator
) -> None:
    async with with_line() as url, telephone() as (_pc, offer):
        status, call = await post(url, {"to": "sip:ann@example.org"})
        assert status == 201
        await gateway.until(lambda: gateway.asked("call"))
        async with aiohttp.ClientSession() as http, http.delete(f"{url}v1/calls/{call['id']}") as response:
            assert response.status == 200
        await gateway.until(lambda: gateway.asked("hangup"))
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("accept"))
    assert len(gateway.asked("hangup")) == 2  # the second by the service's end
    assert not any(session.open for session in emulator.sessions)


@pytest.mark.parametrize(
    ("offer", "code"),
    [(None, 488), ("v=0\r\n", 488), ("nonsense", 488), ("gsm", 488)],
    ids=["offerless", "no audio", "no SDP", "no common codec"],
)
async def test_what_cannot_be_answered_is_declined(
    with_line: Phones, gateway: FakeJanus, offer: str | None, code: int
) -> None:
    async with with_line() as url, telephone() as (_pc, good):
        if offer == "gsm":
            offer = good.replace("UDP/TLS/RTP/SAVPF 0", "UDP/TLS/RTP/SAVPF 3").replace(
                "rtpmap:0 PCMU", "rtpmap:3 GSM"
            )
        await gateway.ring(gateway.handles[0], offer)
        (decline,) = await gateway.until(lambda: gateway.asked("decline"))
        assert decline.body["code"] == code
        await until_idle(url)
        await gateway.ring(gateway.handles[0], good)  # the line is not spoilt
        await gateway.until(lambda: gateway.asked("accept"))


async def test_a_full_service_is_busy(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(max_calls=1), telephone() as (_a, first), telephone() as (_b, second):
        await gateway.ring(gateway.handles[0], first)
        await gateway.until(lambda: gateway.asked("accept"))
        await gateway.ring(gateway.handles[1], second)
        (decline,) = await gateway.until(lambda: gateway.asked("decline"))
        assert decline.body["code"] == 486


async def test_a_caller_who_cancels_at_once(with_line: Phones, gateway: FakeJanus, emulator: Emulator) -> None:
    gateway.refuse["accept"] = 469
    async with with_line() as url, telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[0], offer)
        await gateway.tell(gateway.handles[0], {"event": "hangup", "code": 487, "reason": "Request Terminated"})
        await gateway.until(lambda: gateway.asked("accept"))
        await until_idle(url)
        assert not any(session.open for session in emulator.sessions)
        assert not gateway.asked("hangup")


async def test_keys_by_sip_info_are_part_of_the_call(
    with_line: Phones, gateway: FakeJanus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with with_line() as url, telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("accept"))
        for kind, content in (
            ("application/dtmf-relay", "Signal=4\r\nDuration=160"),
            ("application/dtmf", "2"),
            ("application/dtmf-relay", "Signal= #\r\nDuration=160\r\n"),
            ("text/plain", "Signal=9"),
            ("application/dtmf-relay", "Signal=hook"),
        ):
            await gateway.tell(gateway.handles[0], {"event": "info", "type": kind, "content": content})
        (call_id,) = re.findall(r"call (\S+): started", caplog.text)
        call = await until(url, f"v1/calls/{call_id}", lambda body: body.get("dtmf") == "42#")
        assert call["phone"]["caller"] == "sip:+15550001@carrier.example"
        assert "dtmf" not in caplog.text  # they may be a PIN


# telephones that are called


async def test_early_media_is_not_heard_but_its_answer_counts(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator, tmp_path: Path
) -> None:
    """183 brings the description, 200 does not repeat it. Its codec, known only then, is kept."""
    history_url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with with_line(history_url=history_url, record_folder=str(tmp_path)) as url:
        _status, call = await post(
            url, {"to": "+1 (555) 0001", "headers": {"X-Tag": "a"}, "instruction": "Be brief \ud83d."}
        )
        (asked,) = await gateway.until(lambda: gateway.asked("call"))
        assert asked.body["uri"] == "sip:+15550001@agent.local"
        assert asked.body["headers"] == {"X-Tag": "a"}
        assert asked.jsep is not None
        phone = RTCPeerConnection()
        await phone.setRemoteDescription(RTCSessionDescription(asked.jsep["sdp"], "offer"))
        await phone.setLocalDescription(await phone.createAnswer())
        answer = phone.localDescription.sdp
        await gateway.tell(asked.handle, {"event": "progress"}, sdp=answer, sdp_type="answer")
        await until(url, f"v1/calls/{call['id']}", lambda body: body["state"] == "ringing")
        await emulator.wait_for(lambda: bool(emulator.sessions[0].setup))  # it waits for the answer, set up
        assert "Be brief \ufffd." in str(emulator.sessions[0].setup)
        assert phone.connectionState in ("new", "connecting")
        await gateway.tell(asked.handle, {"event": "accepted"})
        await until(url, f"v1/calls/{call['id']}", lambda body: body.get("connection") == "connected")
        await gateway.tell(asked.handle, {"event": "hangup", "code": 200, "reason": "Session Terminated"})
        ended = await until(url, f"v1/calls/{call['id']}", lambda body: body["state"] == "ended")
        assert ended["reason"] == "hung_up"
        await phone.close()
    async with open_history(history_url) as history:
        (kept,) = await history.page()
    assert (kept["direction"], kept["callee"]) == ("outbound", "sip:+15550001@agent.local")
    assert (kept["state"], kept["codec"]) == ("ended", "opus")


async def test_a_phone_that_does_not_answer(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_setup, "RING_TIMEOUT_S", 0.1)
    async with with_line() as url:
        _status, call = await post(url, {"to": "sip:ann@example.org"})
        ended = await until(url, f"v1/calls/{call['id']}", lambda body: body["state"] == "ended")
        assert ended["reason"] == "not_answered"
        await gateway.until(lambda: gateway.asked("hangup"))
        await until_idle(url)
        assert not any(session.open for session in emulator.sessions)


async def test_an_answer_that_cannot_be_used_is_hung_up(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line() as url:
        _status, call = await post(url, {"to": "sip:ann@example.org"})
        (asked,) = await gateway.until(lambda: gateway.asked("call"))
        await gateway.tell(asked.handle, {"event": "accepted"}, sdp="v=0\r\n", sdp_type="answer")
        ended = await until(url, f"v1/calls/{call['id']}", lambda body: body["state"] == "ended")
        assert ended["reason"] == "no_common_codec"
        await gateway.until(lambda: gateway.asked("hangup"))


async def test_a_call_that_comes_in_first_takes_the_line(
    with_line: Phones, gateway: FakeJanus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own call, not sent yet, gives way, and does not hang the other one up."""
    real = RTCPeerConnection.createOffer
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(pc: RTCPeerConnection) -> RTCSessionDescription:
        begun.set()
        await go_on.wait()
        return await real(pc)

    async with with_line(sip_lines=1) as url, telephone() as (_pc, offer):
        monkeypatch.setattr(RTCPeerConnection, "createOffer", slow)
        posting = asyncio.create_task(post(url, {"to": "sip:ann@example.org"}))
        await begun.wait()
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("accept"))
        go_on.set()
        _status, call = await posting
        ended = await until(url, f"v1/calls/{call['id']}", lambda body: body["state"] == "ended")
        assert ended["reason"] == "not_answered"
        assert not gateway.asked("call")
        assert not gateway.asked("hangup")
        assert (await get(url, "readyz"))[1]["calls"] == 1


async def test_the_agent_calls_nobody_because_a_phone_wants_it(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(), telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("accept"))
        await gateway.tell(gateway.handles[0], {"event": "transfer", "refer_id": 5, "refer_to": "sip:x@y"})
        (decline,) = await gateway.until(lambda: gateway.asked("decline"))
        assert (decline.body["code"], decline.body["refer_id"]) == (603, 5)
        assert not gateway.asked("call")


async def test_an_accept_without_an_answer_is_hung_up(
    with_line: Phones, gateway: FakeJanus, emulator: Emulator
) -> None:
    """Whether the gateway took it is not known: the phone must not stay on a line that nobody is on."""
    gateway.refuse["accept"] = 499
    async with with_line() as url, telephone() as (_pc, offer):
        await gateway.ring(gateway.handles[0], offer)
        await gateway.until(lambda: gateway.asked("hangup"))
        await until_idle(url)
        assert not any(session.open for session in emulator.sessions)


async def test_a_line_that_is_in_use_calls_nobody(with_line: Phones, gateway: FakeJanus) -> None:
    async with with_line(sip_lines=1) as url:
        assert (await post(url, {"to": "sip:ann@example.org"}))[0] == 201
        status, problem = await post(url, {"to": "sip:ben@example.org"})
        assert (status, problem["error"]["code"]) == (503, "line_busy")
        await gateway.until(lambda: gateway.asked("call"))
        assert len(gateway.asked("call")) == 1


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ([], 400),
        ({}, 422),
        ({"to": "ann"}, 422),
        ({"to": "sip:ann@example.org\r\nEvil: 1"}, 422),
        ({"to": "sip:ann@example.org", "agent": "other"}, 422),
        ({"to": "sip:ann@example.org", "headers": {"From": "me"}}, 422),
        ({"to": "sip:ann@example.org", "headers": {"X-A": "b\r\nEvil: 1"}}, 422),
        ({"to": "sip:ann@example.org", "instruction": 3}, 422),
        ({"to": "sip:ann@example.org", "too": 3}, 400),
    ],
)
async def test_a_wish_that_cannot_be_fulfilled(
    with_line: Phones, gateway: FakeJanus, wish: Any, status: int
) -> None:
    async with with_line(sip_lines=1) as url:
        assert (await post(url, wish))[0] == status
        assert not gateway.asked("call")


@pytest.mark.parametrize(
    ("changes", "to", "code"),
    [
        ({"dial": False}, "+15550001", "dial_off"),
        ({"dial": False}, "sip:ann@example.org", "dial_off"),
        ({}, "+19005550001", "not_allowed"),
        ({}, "sip:+19005550001@agent.local", "not_allowed"),
        ({}, "sip:ann@example.com", "not_allowed"),
        ({}, "sip:ann@example.org;maddr=10.0.0.1", "not_allowed"),
        ({"dial_allowed": ["sip:*@agent.local"]}, "+15550001", "not_allowed"),
    ],
)
async def test_only_who_is_allowed_is_called(
    with_line: Phones, gateway: FakeJanus, changes: dict[str, Any], to: str, code: str
) -> None:
    async with with_line(**changes) as url:
        status, problem = await post(url, {"to": to})
        assert (status, problem["error"]["code"]) == (403, code)
        assert not gateway.asked("call")
        assert (await get(url, "readyz"))[1]["calls"] == 0
        assert (await post(url, {"to": "sip:agent@agent.local"}))[0] == 201  # the line itself, for the doctor


async def test_by_default_nobody_is_called_and_no_tool_can(
    service: ServiceFactory, gateway: FakeJanus, emulator: Emulator
) -> None:
    async with service(janus_url=gateway.url, janus_secret="fake-secret") as url, telephone() as (_pc, offer):
        await until_ready(url)
        assert (await post(url, {"to": "+15550001"}))[0] == 403
        await gateway.ring(gateway.handles[0], offer)
        await emulator.wait_for(lambda: len(emulator.sessions) == 1 and bool(emulator.sessions[0].setup))
        declared = str(emulator.sessions[0].setup["tools"])
        assert "end_call" in declared
        assert "transfer" not in declared
        assert "send_dtmf" not in declared


@pytest.mark.parametrize("switch", ["dial", "transfer"])
async def test_a_switch_without_a_list_is_an_error_at_the_start(
    service: ServiceFactory, gateway: FakeJanus, switch: str
) -> None:
    with pytest.raises(ConfigError, match=f"{switch}_allowed is empty"):
        async with service(janus_url=gateway.url, **{switch: True}):
            pass


async def test_calls_cost_money_so_they_want_the_key(with_line: Phones) -> None:
    async with with_line(sip_lines=1, server_key="0123456789abcdef") as url:
        assert (await post(url, {"to": "sip:ann@example.org"}))[0] == 401
        assert (await post(url, {"to": "sip:ann@example.org"}, Authorization="Bearer 0123456789abcdef"))[0] == 201


async def test_without_a_gateway_there_is_no_phone(service: ServiceFactory) -> None:
    async with service() as url:
        assert (await get(url, "readyz")) == (200, {"status": "ready", "calls": 0})
        assert (await post(url, {"to": "sip:ann@example.org"}))[0] == 405  # calls can only be listed
