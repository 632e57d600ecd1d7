"""Captures for a replay what is done to a call from outside."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent.capture import Capture

if TYPE_CHECKING:
    from agent.call.call import Call


def capture_call(call: Call, capture: Capture) -> None:
    """Capture every event and what is done to the call from outside.

    Uploaded pictures, pauses of the recording and the quality are left out: no replay compares them.
    """
    call.type_text = capture.noting("type_text", call.type_text)
    call.press = capture.noting("press", call.press)
    call.start_activity = capture.noting("start_activity", call.start_activity)
    call.end_activity = capture.noting("end_activity", call.end_activity)
    call.interrupt = capture.noting("interrupt", call.interrupt)
    call.say = capture.noting("say", call.say)
    call.add_to_context = capture.noting("add_to_context", call.add_to_context)
    call.change_agent = capture.noting("change_agent", call.change_agent)
    call.end_call = capture.noting("end_call", call.end_call)
    call.send_event = capture.noting("send_event", call.send_event)
    call.hang_up = capture.noting("hang_up", call.hang_up)  # type: ignore[method-assign]
    call.media_flows = capture.noting("media_flows", call.media_flows)  # type: ignore[method-assign]
    call.observe(partial(capture.note, "event"))
