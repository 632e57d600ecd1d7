"""A service whose day is used up: calls that run say goodbye, offers are told when to come again."""

from __future__ import annotations

import aiohttp
import pytest

from agent.errors import OfferError
from signaling.client.caller import dial
from tests.conftest import ServiceFactory
from tests.rtc.test_limits import DEAR, calling, told

KEY = "a-key-of-the-server"
OFFER = {"Content-Type": "application/sdp"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"daily_budget_usd": 0.04}, "daily_budget_spent"),
        ({"daily_minutes": 0.05}, "daily_minutes_used"),
    ],
)
async def test_calls_end_with_a_goodbye_and_offers_wait(settings: dict[str, float], reason: str) -> None:
    async with calling(DEAR, **settings) as (caller, url):
        caller.type("hello")
        farewell = await told(caller, "call-ended", timeout_s=40)
        assert (farewell["reason"], farewell["fault"]) == (reason, "operator")
        assert "error" not in [message["type"] for message in caller.messages]
        assert "bot-started-speaking" in [message["type"] for message in caller.messages]
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{url}whip", data="v=0", headers=OFFER) as response:
                assert response.status == 429
                assert 86_000 < int(response.headers["Retry-After"]) <= 87_600
                assert (await response.json(content_type=None))["error"]["code"] == reason
            async with http.get(f"{url}metrics") as response:
                metrics = await response.text()
        limit = reason.rpartition("_")[0]
        assert f'talkspurt_budget_refusals_total{{limit="{limit}"}} 1.0' in metrics
        assert 'talkspurt_daily_minutes{account="total"}' in metrics


async def test_a_keys_calls_are_charged_to_it(service: ServiceFactory) -> None:
    async with service(server_key=KEY, key_daily_minutes=0.001) as url:
        async with dial(url, key=KEY) as caller:
            await caller.message("bot-ready")
            await told(caller, "call-ended", timeout_s=40)
        with pytest.raises(OfferError, match="as long as they may"):
            async with dial(url, key=KEY):
                pass
        async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
            assert 'talkspurt_daily_minutes{account="server_key"}' in await response.text()
