"""The recording of one call, if it is recorded: where its packets are taken, and who is told how it goes."""

from __future__ import annotations

from agent.call.ports import CallPorts
from agent.media.inbound import InletTap
from agent.media.track import AgentVoiceTrack
from agent.record.recorder import Recording


class Taping:
    """Have one call recorded.

    Args:
        ports: to the call.
        voice: the agent's.
        recording: takes what both sides say; None if the call is not recorded.
    """

    def __init__(self, ports: CallPorts, voice: AgentVoiceTrack, recording: Recording | None) -> None:
        self.recording = recording
        self.tap: InletTap | None = None
        "Takes the caller's packets."
        if recording is not None:
            recording.tell = lambda event: ports.act([event])
            voice.tap = recording.agent
            self.tap = InletTap(recording.caller, recording.restarted)

    def pause(self) -> None:
        """Record nothing of what is said from now on, on either side; does nothing if nothing is recorded."""
        if self.recording is not None:
            self.recording.pause()

    def resume(self) -> None:
        """Record what is said again."""
        if self.recording is not None:
            self.recording.resume()

    async def end(self) -> None:
        """Finish the recording: nothing more is said."""
        if self.recording is not None:
            await self.recording.end()

    def let_go(self) -> None:
        """Forget the call, which is over or will never run."""
        if self.recording is not None:
            self.recording.let_go()
