"""The tools that an agent has on a telephone call, however the telephone is connected (`sip_line`, `stream`)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from agent.call.call import Call
from agent.dialog.goodbye import GOODBYE_S
from agent.errors import ConfigError, GatewayError, ToolError
from agent.settings import Settings
from agent.tools.declare import Tool
from signaling.phone.callees import Callees

HEARD_S = 0.3
"How long the last words take to pass the gateway and the phone's own buffer."
KEYS = re.compile(r"[0-9*#A-Da-d,]{1,32}")
_NUMBER = re.compile(r"\+?[0-9][0-9().\- ]{0,31}")
_HOST = r"([A-Za-z0-9.\-]{1,128}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
_URI = re.compile(rf"sips?:[\w\-.!~*'()%&=+$,]{{1,128}}@{_HOST}(;[\w\-.=]{{1,64}}){{0,4}}", re.ASCII)


class Phone(Protocol):
    """A telephone on a call, and what it can be told to do."""

    def end(self) -> None:
        """Hang the call up."""

    async def send_keys(self, keys: str) -> None:
        """Press keys; raises GatewayError."""

    async def transfer(self, target: str) -> None:
        """Transfer the caller to another telephone and end the call; raises GatewayError."""


def phone_tools(
    phone: Phone, call: Callable[[], Call], *, may_send_keys: bool = False, transfer_to: Callees | None = None
) -> tuple[Tool, ...]:
    """Return the tools of one telephone call: one to hang up, and those that the operator has switched on.

    Args:
        phone: the telephone.
        call: returns the call, which is made after its tools.
        may_send_keys: True to add a tool that presses keys.
        transfer_to: where the caller may be transferred; None to add no such tool.
    """

    async def end_call() -> str:
        await call().farewell.heard("spoken", silence_s=HEARD_S)
        phone.end()
        return "The call has ended."

    async def send_dtmf(digits: str) -> str:
        if not KEYS.fullmatch(digits):
            raise ToolError("digits must be 1 to 32 of 0-9 * # A-D, with commas for pauses")
        await _told(phone.send_keys(digits.upper()))
        return "sent"

    async def transfer(to: str) -> str:
        assert transfer_to is not None
        target = address(to, transfer_to.domain)
        if not transfer_to.allow(target):
            raise ToolError("the operator does not allow transfers to there; do not try to write it in other ways")
        await call().farewell.heard("spoken", silence_s=HEARD_S)
        await _told(phone.transfer(target))
        return "The caller has been transferred."

    tools = [
        Tool(
            "end_call",
            "Hang up the telephone call. Say goodbye first.",
            _schema(),
            end_call,
            GOODBYE_S["spoken"] + 5,
        )
    ]
    if may_send_keys:
        tools.append(
            Tool(
                "send_dtmf",
                "Press keys on the telephone, for instance to use a voice menu.",
                _schema(digits="Keys to press: 0-9 * # A-D; a comma is a pause of half a second."),
                send_dtmf,
            )
        )
    if transfer_to is not None:
        tools.append(
            Tool(
                "transfer",
                "Transfer the caller to another telephone. Say so first. It ends your part of the call.",
                _schema(to="A telephone number in international format, or a SIP address."),
                transfer,
                GOODBYE_S["spoken"] + 40,
            )
        )
    return tuple(tools)


def phone_tool_names(settings: Settings) -> set[str]:
    """Return the names of the tools that telephone calls have besides the agent's; empty without telephones."""
    names = set[str]()
    if settings.janus_url is not None or settings.twilio_auth_token is not None:
        names.add("end_call")
    if settings.janus_url is not None:
        names |= {name for name, on in (("send_dtmf", settings.send_dtmf), ("transfer", settings.transfer)) if on}
    return names


def check_tool_names(settings: Settings, tools: Iterable[Tool]) -> None:
    """Refuse agent tools that are named like a telephone's tool: the model could not tell them apart.

    Args:
        settings: the service's settings.
        tools: the agent's tools.

    Raises:
        ConfigError: there are such tools; the message names them.
    """
    taken = sorted(phone_tool_names(settings) & {tool.name for tool in tools})
    if taken:
        raise ConfigError(
            f"the agent's tool {taken[0]} has the name of a tool that talkspurt adds to telephone calls: rename "
            "the agent's tool, or leave it out with only=[...] if it is an MCP server's"
        )


def address(to: str, domain: str) -> str:
    """Return the SIP address for what a person or a model wrote.

    Args:
        to: ``sip:name@host``, ``tel:+15551234`` or a number.
        domain: the SIP domain of plain numbers.

    Raises:
        ToolError: it is none of these.
    """
    text = to.strip()
    if _URI.fullmatch(text):
        return text
    number = text.removeprefix("tel:")
    if not _NUMBER.fullmatch(number):
        raise ToolError("expected a SIP address, such as sip:name@host, or a telephone number")
    digits = re.sub(r"[^+0-9]", "", number)
    return f"sip:{digits}@{domain}"


def _schema(**texts: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    return {"type": "object", "properties": properties, "required": list(texts)}


async def _told(work: Awaitable[None]) -> None:
    """Turn a gateway error into a tool error."""
    try:
        await work
    except GatewayError as error:
        raise ToolError(error.detail) from None
