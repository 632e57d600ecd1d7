"""Client secrets: made with the server key, good for calls and for what is about these calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from agent.author.agent import Agent
from agent.emulator import Emulator
from agent.tools.context import CallContext
from signaling.http.client_secrets import PATH
from tests.support.http import FRAGMENT, OFFER, SDP, problem
from tests.support.realtime import call_realtime
from tests.support.service import ServiceFactory, service_for

KEY = "open-sesame-open"
CALLS = "/v1/realtime/calls"


def bearing(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


async def code_of(response: aiohttp.ClientResponse) -> str:
    error: Any = (await problem(response))["error"]
    return str(error["code"])


@asynccontextmanager
async def with_key(service: ServiceFactory, **settings: Any) -> AsyncIterator[aiohttp.ClientSession]:
    async with service(server_key=KEY, **settings) as url, aiohttp.ClientSession(url) as http:
        yield http


async def secret(http: aiohttp.ClientSession, token: str = KEY, **wanted: Any) -> dict[str, Any]:
    async with http.post(PATH, json=wanted, headers=bearing(token)) as response:
        assert response.status == 200, await response.text()
        made: dict[str, Any] = await response.json()
        return made


async def test_a_call_is_for_the_one_who_made_it(service: ServiceFactory) -> None:
    async with with_key(service) as http:
        mine, other = (await secret(http))["value"], (await secret(http))["value"]
        assert mine.startswith("ek_")
        assert mine != other
        async with http.post(CALLS, data=OFFER, headers=bearing(mine, **SDP)) as response:
            assert response.status == 201
            call = response.headers["Location"]
        for method, path, headers in (
            ("GET", call, {}),
            ("DELETE", call, {}),
            ("POST", f"{call}/hangup", {}),
            ("PATCH", call, FRAGMENT),
            ("POST", f"{call}/pictures", {}),
            ("GET", f"{call}/pictures/1", {}),
        ):
            async with http.request(method, path, headers=bearing(other, **headers)) as response:
                assert (response.status, await code_of(response)) == (403, "not_your_call")
            async with http.request(method, path, headers=headers) as response:
                assert response.status == 401
        for token in (mine, KEY):
            async with http.get(call, headers=bearing(token)) as response:
                assert response.status == 200
        for path in (f"{call}/state", f"{call}/say"):
            method = "GET" if path.endswith("state") else "POST"
            async with http.request(method, path, headers=bearing(mine)) as response:
                assert response.status == 401
        async with http.post(f"{call}/hangup", headers=bearing(mine)) as response:
            assert response.status == 200


async def test_other_clients_use_it_too(service: ServiceFactory) -> None:
    """Pipecat's requests, and those of a client that connects anew to its call."""
    async with with_key(service) as http:
        mine, other = (await secret(http))["value"], (await secret(http))["value"]
        async with http.post("/start", headers=bearing(mine)) as response:
            assert response.status == 200
        offer = {"sdp": OFFER, "type": "offer", "pc_id": None, "restart_pc": False}
        async with http.post("/api/offer", json=offer, headers=bearing(mine)) as response:
            assert response.status == 200
            call_id = (await response.json())["pc_id"]
        again, trickled = {**offer, "pc_id": call_id, "restart_pc": True}, {"pc_id": call_id, "candidates": []}
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/api/offer", {"json": again}),
            ("PATCH", "/api/offer", {"json": trickled}),
            ("POST", f"{CALLS}/{call_id}", {"data": OFFER, "headers": SDP}),
        ]
        for method, path, body in asked:
            for token, status in ((other, 403), ("ek_no", 401), (mine, None)):
                headers = bearing(token, **body.get("headers", {}))
                async with http.request(method, path, **{**body, "headers": headers}) as response:
                    assert response.status == status or (status is None and response.status < 300)


async def test_it_makes_no_other_one_and_opens_nothing_of_the_operator(service: ServiceFactory) -> None:
    async with with_key(service) as http:
        token = (await secret(http))["value"]
        async with http.post(PATH, headers=bearing(token)) as response:
            assert response.status == 401
        async with http.get("/v1/calls", headers=bearing(token)) as response:
            assert response.status in (401, 404)


async def test_what_was_changed_or_has_expired_is_refused(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_key(service) as http:
        made = await secret(http, expires_after={"anchor": "created_at", "seconds": 10})
        token = made["value"]
        middle = len(token) // 2
        for bad in (
            token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :],
            token[:-1],
            "ek_",
            "ek_" + "x" * 8000,
            "ek_.e.e",
            "ek_\u00e9",
        ):
            async with http.post(CALLS, data=OFFER, headers=bearing(bad, **SDP)) as response:
                assert response.status in (400, 401)  # 400: longer than any header
        async with http.post(CALLS, data=OFFER, headers=bearing(token, **SDP)) as response:
            assert response.status == 201
            call = response.headers["Location"]
        monkeypatch.setattr("signaling.http.access.unix", lambda: float(made["expires_at"]))
        async with http.post(CALLS, data=OFFER, headers=bearing(token, **SDP)) as response:
            assert await code_of(response) == "expired_client_secret"
        async with http.delete(call, headers=bearing(token)) as response:
            assert response.status == 200  # the call goes on, and its caller may hang up


async def test_one_service_does_not_accept_anothers(service: ServiceFactory, emulator: Emulator) -> None:
    async with with_key(service) as http:
        token = (await secret(http))["value"]
    async with with_key(service) as http, http.post(CALLS, data=OFFER, headers=bearing(token, **SDP)) as response:
        assert response.status == 201, "after a restart with the same key"
    async with (
        service_for(emulator, server_key=f"{KEY}-new") as url,
        aiohttp.ClientSession(url) as http,
        http.post(CALLS, data=OFFER, headers=bearing(token, **SDP)) as response,
    ):
        assert await code_of(response) == "invalid_client_secret"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"expires_after": {"seconds": 5}}, "expires_after"),
        ({"expires_after": "soon"}, "expires_after"),
        ({"caller": 3}, "caller"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"session": []}, "session"),
        ({"session": {"audio": {"output": {"voice": "marin"}}}}, "voice"),
        ({"session": {"type": "transcription"}}, "session.type"),
        ({"session": {"instructions": "".join(map(chr, range(0x4E00, 0x5E00)))}}, "session"),
    ],
)
async def test_what_cannot_be_had_is_refused(service: ServiceFactory, wanted: Any, named: str) -> None:
    async with with_key(service) as http, http.post(PATH, json=wanted, headers=bearing(KEY)) as response:
        assert response.status == 422
        assert named in str((await problem(response))["detail"])


async def test_without_a_server_key_nobody_instructs_and_anybody_calls(service: ServiceFactory) -> None:
    async with service() as url, aiohttp.ClientSession(url) as http:
        async with http.post(PATH, json={"session": {"instructions": "Be rude."}}) as response:
            assert response.status == 403
        async with http.post(PATH) as response:
            token = (await response.json())["value"]
        for each in (token, "ek_anything"):
            async with http.post(CALLS, data=OFFER, headers=bearing(each, **SDP)) as response:
                assert response.status == 201


async def test_its_session_and_caller_are_those_of_the_call(emulator: Emulator) -> None:
    seen: list[tuple[str | None, dict[str, str]]] = []

    async def who(ctx: CallContext) -> str:
        """Say who calls."""
        seen.append((ctx.caller, dict(ctx.metadata)))
        return "noted"

    session = {
        "type": "realtime",
        "instructions": "Be a pirate.",
        "audio": {
            "output": {"voice": "kore"},
            "input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}},
        },
    }
    agent = Agent(tools=[who])
    async with service_for(emulator, agent, offline_demo=True, server_key=KEY) as url:
        async with aiohttp.ClientSession(url) as http:
            made = await secret(http, session=session, caller="Ada", metadata={"plan": "gold"})
            assert made["session"]["instructions"] == "Be a pirate."
        async with call_realtime(url, key=made["value"]) as caller:
            told = caller.events[0]["session"]
            assert told["audio"]["output"]["voice"] == "Kore"
            assert told["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 300
            caller.type("call who")
            await caller.said("noted")
    assert seen == [("Ada", {"plan": "gold"})]
    setup = json.dumps(emulator.sessions[-1].setup)
    assert "Be a pirate." in setup
    assert "Kore" in setup


async def test_functions_that_it_grants_need_no_further_leave(service: ServiceFactory) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
    function = {"type": "function", "name": "double", "description": "Doubles.", "parameters": parameters}
    async with service(server_key=KEY) as url:
        async with aiohttp.ClientSession(url) as http:
            token = (await secret(http, session={"type": "realtime", "tools": [function]}))["value"]
        named = {"type": "function", "name": "double", "description": "Be rude."}
        async with call_realtime(url, key=token, tools=[named]) as caller:
            assert caller.all("error") == []
            assert caller.all("session.updated")[0]["session"]["tools"] == [function]
            caller.type('call double {"a": 4}')
            call = await caller.event("response.function_call_arguments.done")
            item = {"type": "function_call_output", "call_id": call["call_id"], "output": "eight"}
            caller.send("conversation.item.create", item=item)
            await caller.said("eight")
        async with call_realtime(url, key=token, tools=[named, {**named, "name": "other"}]) as caller:
            await caller.refused("not_allowed")
            assert caller.all("session.updated")[0]["session"]["tools"] == [function]
        session = {"type": "realtime", "instructions": "Be brief.", "tools": [function]}
        async with call_realtime(url, key=KEY, session=session, updates=False) as caller:
            created = await caller.event("session.created")
            assert created["session"]["tools"] == [function]
