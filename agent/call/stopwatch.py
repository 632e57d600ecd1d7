"""How long a call took to be set up, and to be heard first: noted from its events, and told once each."""

from __future__ import annotations

from agent import events
from agent.call.outcomes import Outcomes
from agent.call.timeline import Timeline
from agent.clock import Clock


class Stopwatch:
    """Time one call.

    Args:
        timeline: keeps what happened when.
        clock: monotonic seconds.
    """

    def __init__(self, timeline: Timeline, clock: Clock) -> None:
        self.told: events.CallSetUp | None = None
        "How the call was set up; None until caller and agent can hear each other."
        self._timeline = timeline
        self._clock = clock
        self._spoke = False  # the agent has spoken

    def note(self, event: events.Event) -> None:
        """Take note of when something happened; an observer of the call."""
        self._timeline.note(event, self._clock())

    def media_flows(self) -> Outcomes:
        """Note that the caller can hear the agent from now on."""
        self._timeline.reach("dtls", self._clock())
        return self._set_up()

    def news(self, event: events.AgentReady | events.AgentStartedSpeaking) -> Outcomes:
        """Return what is to be told of the times after an event that the observers were told."""
        if isinstance(event, events.AgentReady):
            return self._set_up()
        if self._spoke:
            return []
        self._spoke = True
        after_ms = self._timeline.set_up().first_audio_ms
        return [] if after_ms is None else [events.AgentFirstHeard(after_ms)]

    def _set_up(self) -> Outcomes:
        stages = self._timeline.set_up()
        if stages.agent_ms is None or self.told is not None:
            return []
        self.told = events.CallSetUp(stages)
        return [self.told]
