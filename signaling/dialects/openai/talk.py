"""OpenAI's Realtime API over the data channel `oai-events`, as `@openai/agents-realtime` speaks it.

docs/clients.md says what of it works. `told` and `asked` translate; this file carries out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from aiortc import RTCDataChannel

from agent import events
from agent.clock import monotonic
from agent.errors import LiveLost
from signaling.dialects.channel import TextChannel
from signaling.dialects.openai import asked, commands
from signaling.dialects.openai.agreement import Agreement
from signaling.dialects.openai.functions import ClientFunctions
from signaling.dialects.openai.items import Json, message
from signaling.dialects.openai.told import Told
from signaling.dialects.requests import QUESTION
from signaling.dialects.shorten import to_json
from signaling.webrtc.client_leg import ClientLeg
from signaling.webrtc.rates import TooFastError

LABEL = "oai-events"
MAX_MESSAGES_BEFORE_READY = 256  # further ones push out the oldest
MAX_HELD = 32
SPEAK_NOW = "The caller's app asks you to speak to the caller now: answer what was said last, or go on."


def speak_openai(leg: ClientLeg, channel: RTCDataChannel) -> None:
    """Take over a data channel of a call; see `signaling.webrtc.offer.Dialect`."""
    talk = _Talk(leg, TextChannel(leg, channel))
    leg.last_messages.append(talk.flush)
    leg.moving[LABEL] = talk
    leg.call.observe(talk.event_came)
    talk.begin()
    if leg.call.ended is not None:  # it ended before the channel was open
        talk.event_came(leg.call.ended)


class _Talk:
    """The conversation on one channel, and on those that take its place."""

    def __init__(self, leg: ClientLeg, channel: TextChannel) -> None:
        self._leg = leg
        self._call = leg.call
        self._channel = channel
        self._told = Told(
            written=not leg.call.sessions.agent.settings.audio_output,
            generation=leg.call.conversation.generation,
            turn_open=leg.call.conversation.turn_open,
        )
        self._functions = ClientFunctions(leg.call.model, self._function_called)
        self._agreement = Agreement(leg, self._told, self._functions)
        self._ready = False
        self._waiting: deque[str] = deque()
        self._held: list[commands.CreateMessage] = []  # typed by the client, and not yet told the model
        self._goes_on = False  # the model answers by itself what it was given last
        self._hush_next = False  # the response was cancelled before the model began
        channel.read(self.message_came)

    def leave_channel(self) -> None:
        """Keep what the client may not have received; see `signaling.webrtc.client_leg.MovingDialect`."""
        kept = [*self._channel.leave(), *self._waiting][-MAX_MESSAGES_BEFORE_READY:]
        self._waiting = deque(kept)

    def use_channel(self, channel: RTCDataChannel) -> None:
        """Go on over the channel of another connection: the client is told what it may have missed."""
        self._channel = TextChannel(self._leg, channel)
        self._channel.read(self.message_came)
        self._send_waiting()

    async def flush(self) -> None:
        """Wait a moment for written messages to be sent."""
        await self._channel.flush()

    def begin(self) -> None:
        """Tell the client of the session, once the agent can hear."""
        if self._ready or self._call.ready is None:
            return
        self._ready = True
        self._send(self._agreement.begin())
        self._send_waiting()

    def event_came(self, event: events.Event) -> None:
        """Tell the client what happened."""
        if isinstance(event, events.AgentReady):
            self.begin()
        if isinstance(event, events.CallerStartedSpeaking):
            self._goes_on = self._hush_next = False
            self._release_held()
        if isinstance(event, events.GenerationStarted) and self._hush_next:
            self._hush_next = False
            asyncio.get_running_loop().call_soon(self._call.interrupt)
        last = isinstance(event, events.CallEnded)
        self._send(self._told.tell(event, round(self._call.duration_s * 1000)), at_once=last)

    def message_came(self, data: str | bytes) -> None:
        """Carry out an untrusted event of the client, or say why not."""
        try:
            self._leg.rates.take(monotonic(), messages=1)
        except TooFastError as error:
            self._refuse_rate(error, None)
            return
        event: asked.Event = {}
        try:
            event = asked.read_event(data)
            self._carry_out(asked.command_of(event), asked.event_id_of(event))
        except commands.RefusalError as error:
            self._refuse(error.code, error.words, error.param, asked.event_id_of(event))
        except TooFastError as error:
            self._refuse_rate(error, asked.event_id_of(event))
        except LiveLost as error:
            self._refuse("live_lost", error.detail, None, asked.event_id_of(event))

    def _carry_out(self, command: commands.Command, event_id: str | None) -> None:
        match command:
            case commands.UpdateSession(wish):
                self._send(self._agreement.update(wish, event_id))
            case commands.CreateMessage():
                self._create_message(command)
            case commands.CreateOutput():
                self._create_output(command)
            case commands.RetrieveItem(item_id):
                self._send([self._told.wire.event("conversation.item.retrieved", item=self._item(item_id))])
            case commands.DeleteItem(item_id):
                self._delete(item_id)
            case commands.TruncateItem(item_id):
                self._item(item_id)
                words = "the Live API cannot change what was said; the service cuts what is interrupted by itself"
                raise commands.RefusalError("item_truncate_unsupported", words, "item_id")
            case commands.CreateResponse(instructions):
                self._respond(instructions)
            case commands.CancelResponse(response_id):
                self._cancel(response_id)
            case commands.ClearOutput():
                if not self._call.interrupt():
                    self._send([self._told.voice_cleared()])
            case commands.ClearInput() | commands.CommitInput():
                self._mark(starts=isinstance(command, commands.ClearInput))

    # items

    def _create_message(self, command: commands.CreateMessage) -> None:
        item_id = self._new_id(command.item_id)
        if command.role != "user":
            self._want_trust(f"messages of role {command.role}", "item.role")
            self._leg.rates.take(monotonic(), notes=1, characters=len(command.text))
            self._call.add_to_context(command.text, command.role)
        elif len(self._held) == MAX_HELD:
            words = f"{MAX_HELD} messages wait for a response: send response.create"
            raise commands.RefusalError("too_many_items", words)
        else:
            pictures = len(command.pictures)
            self._leg.rates.take(monotonic(), texts=1, characters=len(command.text), pictures=pictures)
            self._held.append(replace(command, item_id=item_id))
        content = [dict(part) for part in command.content]
        self._send(self._told.item_created(message(item_id, command.role, content, "completed")))

    def _create_output(self, command: commands.CreateOutput) -> None:
        item_id = self._new_id(command.item_id)
        if not self._functions.answer(command.call_id, command.output):
            words = "no function call with this id waits for an output; it may have taken too long"
            raise commands.RefusalError("function_call_unknown", words, "item.call_id")
        self._goes_on = True
        self._send(self._told.output_created(item_id, command.call_id, command.output))

    def _delete(self, item_id: str) -> None:
        self._item(item_id)
        held = [each for each in self._held if each.item_id != item_id]
        if len(held) == len(self._held):
            words = "the Live API cannot forget what the model was told"
            raise commands.RefusalError("item_delete_unsupported", words, "item_id")
        self._held = held
        self._told.items.remove(item_id)
        self._send([self._told.wire.event("conversation.item.deleted", item_id=item_id)])

    def _item(self, item_id: str) -> Json:
        item = self._told.items.get(item_id)
        if item is None:
            raise commands.RefusalError("item_not_found", "there is no item with this id", "item_id")
        return item

    def _new_id(self, wished: str | None) -> str:
        if wished is not None and wished in self._told.items:
            raise commands.RefusalError("item_exists", "there is an item with this id", "item.id")
        return wished or self._told.items.new_id()

    def _release_held(self) -> None:
        """Tell the model what the client typed, because the caller goes on without waiting for an answer to it."""
        texts = [each for each in self._held if not each.pictures]
        self._held = [each for each in self._held if each.pictures]
        for each in texts:
            self._call.add_to_context(each.text, "user")

    # responses

    def _respond(self, instructions: str | None) -> None:
        if self._told.responses.open:
            words = "a response is active already: wait for its response.done"
            raise commands.RefusalError("conversation_already_has_active_response", words)
        if instructions is not None:
            self._want_trust("response.instructions", "response.instructions")
            self._leg.rates.take(monotonic(), notes=1, characters=len(instructions))
        self._hush_next = False
        if instructions is not None and (self._held or self._goes_on):
            self._call.add_to_context(instructions, "system")
        if self._held:
            self._ask_what_is_held()
        elif self._goes_on:
            self._goes_on = False
            self._send(self._told.response_asked(goes_on=True))
        else:
            self._leg.rates.take(monotonic(), texts=1)
            self._send(self._told.response_asked(goes_on=False))
            self._call.add_to_context(instructions or SPEAK_NOW, "system", run_immediately=True)

    def _ask_what_is_held(self) -> None:
        """Type to the agent what the client created since the last response."""
        held, self._held, self._goes_on = self._held, [], False
        text = "\n".join(each.text for each in held if each.text) or QUESTION
        pictures = [picture for each in held for picture in each.pictures]
        self._told.typing(text)
        self._send(self._told.response_asked(goes_on=False))
        self._call.type_text(text, pictures=pictures)

    def _cancel(self, response_id: str | None) -> None:
        response = self._told.responses.open
        if response is None or response_id not in (None, response.response_id):
            words = "there is no such response to cancel"
            raise commands.RefusalError("response_cancel_not_active", words, "response_id")
        cancelled = self._told.response_cancelled()
        self._send(cancelled)
        if not self._call.interrupt() and cancelled:
            self._hush_next = True

    def _mark(self, *, starts: bool) -> None:
        self._leg.rates.take(monotonic(), marks=1)
        mark = self._call.start_activity if starts else self._call.end_activity
        if not mark():
            words = "the service detects the caller's turns by itself: give turn_detection null with the offer"
            raise commands.RefusalError("turn_detection_active", words)
        if starts:
            self._send([self._told.wire.event("input_audio_buffer.cleared")])
        else:
            self._goes_on = True
            self._told.expect_answer()

    def _function_called(self, call_id: str, name: str, arguments: str) -> None:
        self._send(self._told.function_called(call_id, name, arguments))

    # answers

    def _want_trust(self, what: str, param: str) -> None:
        if not self._call.client_may_instruct:
            words = f"{what}: the operator does not let clients instruct the agent: see client_may_instruct"
            raise commands.RefusalError("not_allowed", words, param)

    def _refuse(self, code: str, words: str, param: str | None, event_id: str | None) -> None:
        self._send([self._told.wire.error(code, words, param=param, event_id=event_id)])

    def _refuse_rate(self, error: TooFastError, event_id: str | None) -> None:
        """Say that the client sends too much, unless it sends far too much even for that."""
        if self._leg.rates.may_answer(monotonic()):
            self._refuse("rate_limit_exceeded", str(error), None, event_id)

    def _send(self, messages: list[Json], *, at_once: bool = False) -> None:
        for each in messages:
            text = to_json(each)
            if (self._ready and self._channel.open) or at_once:
                self._channel.write(text, last=at_once)
                continue
            if len(self._waiting) == MAX_MESSAGES_BEFORE_READY:
                self._waiting.popleft()
                self._leg.messages.dropped += 1
            self._waiting.append(text)

    def _send_waiting(self) -> None:
        while self._ready and self._waiting:
            self._channel.write(self._waiting.popleft())
