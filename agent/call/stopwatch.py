"""How long a call took to be set up and until the agent was first heard, each told once."""

from __future__ import annotations

from agent import events
from agent.call.outcomes import Outcomes
from agent.call.timeline import Timeline
from agent.clock import Clock


class Stopwatch:
    """Times the set-up of one call.

    Args:
        timeline: records what happened when.
        clock: monotonic seconds.
    """

    def __init__(self, timeline: Timeline, clock: Clock) -> None:
        self.told: events.CallSetUp | None = None
        "How the call was set up; None until caller and agent can hear each other."
        self._timeline = timeline
        self._clock = clock
        self._spoke = False  # the agent has spoken

    def note(self, event: events.Event) -> None:
        """Record when an event happened; an observer of the call."""
        self._timeline.note(event, self._clock())

    def media_flows(self) -> Outcomes:
        """Note that the caller can hear the agent from now on."""
        self._timeline.reach("dtls", self._clock())
        return self._set_up()

    def news(self, event: events.AgentReady | events.AgentStartedSpeaking) -> Outcomes:
        """Return the timing events that follow an event; call this after the observers were told of it."""
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
