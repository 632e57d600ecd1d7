"""The named moments of a session, at which faults and hooks can act."""

from __future__ import annotations

from enum import StrEnum


class Moment(StrEnum):
    """Something happened in a session."""

    CONNECTED = "connected"
    """The WebSocket is open; nothing has been read yet."""
    SETUP_RECEIVED = "setup_received"
    """The setup was accepted; setupComplete has not been sent yet."""
    READY = "ready"
    """setupComplete was sent."""
    MESSAGE_RECEIVED = "message_received"
    """A frame was read; the next one is not read until the hooks return."""
    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    TURN_STARTED = "turn_started"
    """The model begins to answer; nothing of the answer has been sent yet."""
    TOOL_CALLED = "tool_called"
    INTERRUPTED = "interrupted"
    """The turn was cut; ``interrupted`` has not been sent yet."""
    TURN_COMPLETED = "turn_completed"
