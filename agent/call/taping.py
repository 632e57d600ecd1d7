"""Connects the recording of a call, if there is one, to the call's packets and observers."""

from __future__ import annotations

from agent.call.ports import CallPorts
from agent.media.inbound import InletTap
from agent.media.track import AgentVoiceTrack
from agent.record.recorder import Recording


class Taping:
    """Records one call.

    Args:
        ports: the way back to the call.
        voice: the agent's voice track.
        recording: records both sides; None if the call is not recorded.
    """

    def __init__(self, ports: CallPorts, voice: AgentVoiceTrack, recording: Recording | None) -> None:
        self.recording = recording
        self.tap: InletTap | None = None
        "Copies the caller's packets to the recording; None if the call is not recorded."
        if recording is not None:
            recording.tell = lambda event: ports.act([event])
            voice.tap = recording.agent
            self.tap = InletTap(recording.caller, recording.restarted)

    def pause(self) -> None:
        """Stop recording both sides from now on; does nothing if the call is not recorded."""
        if self.recording is not None:
            self.recording.pause()

    def resume(self) -> None:
        """Resume recording; does nothing if the call is not recorded."""
        if self.recording is not None:
            self.recording.resume()

    async def end(self) -> None:
        """Finish the recording, because the call is over."""
        if self.recording is not None:
            await self.recording.end()

    def let_go(self) -> None:
        """Drop the references to a call that is over or will never run."""
        if self.recording is not None:
            self.recording.let_go()
