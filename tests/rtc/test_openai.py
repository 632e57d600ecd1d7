"""What a client of OpenAI's Realtime API can do, over a real peer connection."""

from __future__ import annotations

from tests.support.realtime import call_realtime
from tests.support.service import ServiceFactory

STORY = "tell me a long story"


async def test_text_is_answered_in_deltas_and_with_usage(service: ServiceFactory) -> None:
    async with service() as url, call_realtime(url) as caller:
        assert caller.kinds()[:2] == ["session.created", "session.updated"]
        caller.type("what is twelve plus thirty")
        response = await caller.said("42")
        assert response["status"] == "completed"
        assert response["usage"]["input_tokens"] > 0
        assert response["usage"]["output_token_details"]["audio_tokens"] > 0
        deltas = [event["delta"] for event in caller.all("response.output_audio_transcript.delta")]
        assert len(deltas) > 1
        (item,) = response["output"]
        assert "".join(deltas) == item["content"][0]["transcript"]
        kinds = caller.kinds()
        for one, other in (
            ("response.created", "response.output_item.added"),
            ("response.output_item.added", "response.content_part.added"),
            ("response.content_part.added", "response.output_audio_transcript.delta"),
            ("response.output_audio_transcript.done", "response.output_item.done"),
            ("response.output_item.done", "response.done"),
        ):
            assert kinds.index(one) < kinds.index(other)
        assert kinds.count("response.created") == kinds.count("response.done") == 1
        await caller.event("output_audio_buffer.stopped")
        assert "output_audio_buffer.started" in caller.kinds()
