"""What a call holds is given to holders of the server key, and to nobody else."""

from __future__ import annotations

import aiohttp

from agent.kept import read_kept
from signaling.caller import dial
from tests.conftest import ServiceFactory

KEY = "a-key-of-the-server"


async def test_with_the_key(service: ServiceFactory) -> None:
    async with service(server_key=KEY) as url, dial(url, key=KEY) as caller:
        await caller.message("bot-ready")
        caller.type("my name is Ada")
        await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
        address = f"{caller.location}/state"
        async with aiohttp.ClientSession() as http:
            async with http.get(address, headers={"Authorization": f"Bearer {KEY}"}) as response:
                assert response.status == 200
                kept = read_kept(await response.json())
                assert kept.turns[0].text == "my name is Ada"
            for headers in ({}, {"Authorization": "Bearer another-key-altogether"}):
                async with http.get(address, headers=headers) as response:
                    assert response.status == 401
                    assert "Ada" not in await response.text()
            async with http.get(
                f"{url}v1/realtime/calls/rtc_x/state", headers={"Authorization": f"Bearer {KEY}"}
            ) as response:
                assert response.status == 404


async def test_without_a_key_nobody_is_told(service: ServiceFactory) -> None:
    async with service() as url, dial(url) as caller, aiohttp.ClientSession() as http:
        await caller.message("bot-ready")
        async with http.get(f"{caller.location}/state") as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "no_server_key"
