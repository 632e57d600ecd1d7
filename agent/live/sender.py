"""Sends the items of the uplink through the SDK."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from google.genai import types
from google.genai.live import AsyncSession

from agent.live.config import tools_of
from agent.live.models import rules_of
from agent.live.uplink import (
    ActivityMark,
    AgentChange,
    Audio,
    Item,
    Note,
    Nudge,
    ToolResult,
    TypedText,
)
from agent.picture import Picture, Shown
from agent.settings import Settings
from agent.spoken import Spoken

logger = logging.getLogger(__name__)

UPLINK_MIME = "audio/pcm;rate=16000"
NO_PICTURES = "You cannot be shown the pictures of a tool. Say so, and do not guess what they show."


class Sender:
    """Sends items to one session, in the form that its model accepts.

    Args:
        session: the SDK's session.
        settings: the service's settings.
    """

    def __init__(self, session: AsyncSession, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        rules = rules_of(settings.model)
        self._takes_content = rules.client_content == "always"
        self._takes_tool_pictures = rules.tool_pictures

    async def send(self, item: Item) -> None:
        """Send one item.

        Raises:
            ConnectionClosed: the session has ended.
            TypeError: the item does not fit the SDK's types.
            ValueError: the item does not fit the SDK's types.
        """
        session = self._session
        match item:
            case Audio(pcm_bytes):
                await session.send_realtime_input(audio={"data": pcm_bytes, "mime_type": UPLINK_MIME})
            case Shown(picture=picture):
                await session.send_realtime_input(video=_blob(picture))
            case TypedText(text, pictures) | Note(text, pictures=pictures) if pictures:
                await self._send_pictures(text, pictures, asks=not isinstance(item, Note) or item.wants_reply)
            case Note(text, wants_reply=False) if self._takes_content:  # the model would answer realtime text
                content = types.Content(role="user", parts=[types.Part(text=text)])
                await session.send_client_content(turns=content, turn_complete=False)
            case TypedText(text) | Note(text) | Nudge(text):
                await session.send_realtime_input(text=text)
            case ActivityMark(starts=True):
                await session.send_realtime_input(activity_start=types.ActivityStart())
            case ActivityMark():
                await session.send_realtime_input(activity_end=types.ActivityEnd())
            case AgentChange(instructions, declarations):
                tools: types.ToolListUnion | None = None
                if declarations is not None:
                    tools = [*tools_of(self._settings, declarations)]
                await session.send_context_update(system_instruction=instructions, tools=tools)
            case ToolResult():
                response = _function_response(item, takes_pictures=self._takes_tool_pictures)
                await session.send_tool_response(function_responses=[response])

    async def send_history(self, turns: Sequence[Spoken], *, complete: bool) -> None:
        """Send turns of the call's history.

        Args:
            turns: oldest first.
            complete: whether these are the last turns.
        """
        contents: list[types.Content | types.ContentDict] = [
            types.Content(role="user" if said.speaker == "caller" else "model", parts=[types.Part(text=said.text)])
            for said in turns
        ]
        await self._session.send_client_content(turns=contents, turn_complete=complete)

    async def _send_pictures(self, text: str, pictures: Sequence[Picture], *, asks: bool) -> None:
        """Send a text about pictures: in one turn if the model accepts that, else as if shown and then typed."""
        session = self._session
        if not self._takes_content:
            for picture in pictures:
                await session.send_realtime_input(video=_blob(picture))
            await session.send_realtime_input(text=text)
            return
        parts = [types.Part.from_bytes(data=picture.data, mime_type=picture.mime_type) for picture in pictures]
        content = types.Content(role="user", parts=[*parts, types.Part(text=text)])
        await session.send_client_content(turns=content, turn_complete=asks)


def _blob(picture: Picture) -> types.Blob:
    return types.Blob(data=picture.data, mime_type=picture.mime_type)


def _function_response(result: ToolResult, *, takes_pictures: bool) -> types.FunctionResponse:
    """Return a result with its pictures, or, for a model that takes none, with a remark that there were some."""
    response = result.response
    if result.pictures and not takes_pictures:
        logger.warning("the tool %s has pictures for a model that takes none from tools", result.name)
        response = {**response, "pictures": NO_PICTURES}
    blobs = [
        types.FunctionResponseBlob(data=picture.data, mime_type=picture.mime_type)
        for picture in (result.pictures if takes_pictures else ())
    ]
    return types.FunctionResponse(
        id=result.call_id,
        name=result.name,
        response=response,
        parts=[types.FunctionResponsePart(inline_data=blob) for blob in blobs] or None,
        scheduling=types.FunctionResponseScheduling(result.scheduling) if result.scheduling else None,
        will_continue=True if result.will_continue else None,  # Vertex does not know the field
    )
