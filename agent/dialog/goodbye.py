"""Decides whether the agent's last words have been heard, so that the call may end. Pure.

Rules:
  1. What the last words are depends on who ends the call:

     | words  | who ends the call                      | the last words are                                        |
     | ------ | -------------------------------------- | --------------------------------------------------------- |
     | spoken | a tool that the model waits for        | what the agent is saying: the model called after it       |
     | turn   | the agent's own code                   | the turn that is open, or the next one, however it ends   |
     | reply  | the service, which asked for a goodbye | the first complete and audible generation after that      |

  2. They have been heard once they are complete and no speech is being sent.
  3. A reply that was interrupted does not count; the next one does. Nor does a reply without sound, unless the
     agent writes. Speech from before the request may still be sent after it; it is recognised by the generation,
     which is the newest one that was queued.
"""

from __future__ import annotations

from typing import Literal

from agent import events

Words = Literal["spoken", "turn", "reply"]

GOODBYE_S: dict[Words, float] = {"spoken": 15.0, "turn": 15.0, "reply": 10.0}
"How long to wait for the last words. After that the call ends, whatever was heard."


class Goodbye:
    """The last words of one call.

    Args:
        words: which words they are (rule 1).
        after: the newest generation so far.
        speaks: whether the agent's voice is being sent.
        writes: whether the agent writes instead of speaking.
    """

    def __init__(self, words: Words, *, after: int, speaks: bool, writes: bool = False) -> None:
        self._words = words
        self._after = after
        self._speaks = speaks
        self._silent_will_do = writes or words != "reply"
        self._complete = words == "spoken"
        self._sounded = False

    @property
    def heard(self) -> bool:
        """True once they have been heard (rule 2)."""
        return self._complete and (self._sounded or self._silent_will_do) and not self._speaks

    def note(self, event: events.Event) -> None:
        """Take note of an event."""
        match event:
            case events.AgentStartedSpeaking():
                self._speaks = True
            case events.AgentStoppedSpeaking(generation):
                self._speaks = False
                self._sounded = self._sounded or generation > self._after
            case events.GenerationStarted() if self._words == "turn":
                self._complete = False
            case events.TurnCompleted(reason=reason) if self._words == "turn":
                self._complete = self._complete or reason != "session_ended"
            case events.GenerationCompleted(generation) | events.TurnCompleted(generation) if (
                self._words == "reply"
            ):
                self._complete = self._complete or generation > self._after
            case events.AgentInterrupted(generation) if self._words == "reply" and generation > self._after:
                self._after = generation
                self._complete = self._sounded = False
