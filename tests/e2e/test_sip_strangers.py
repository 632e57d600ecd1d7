"""What strangers, phones and carriers try on the SIP proxy, and what reaches whom. Only Kamailio is real.

Everybody has an address of loopback: the gateway and the proxy 127.0.0.1, a stranger .2, phones .3 and .6, who is
attacked through the proxy .4, the carrier .5.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import phones
from tests.support.phones import Ports, Program, needs
from tests.support.ports import free_ports
from tests.support.sip_client import (
    FLOOD,
    SipClient,
    branch_of,
    flood,
    header,
    headers,
    is_final,
    reply,
    sip_client,
)

pytestmark = needs("kamailio")

GATEWAY, STRANGER, PHONE, VICTIM, CARRIER, OTHER_PHONE = (f"127.0.0.{number}" for number in range(1, 7))
TRUNK = r'"^127\.0\.0\.5$"'
IN_DIALOG = (
    "INVITE",
    "ACK",
    "BYE",
    "MESSAGE",
    "INFO",
    "UPDATE",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "OPTIONS",
    "PUBLISH",
)


@dataclass(frozen=True)
class Place:
    """A proxy, and everybody around it.

    Attributes:
        ports: of the proxy.
        folder: of the test.
        gateway: registered as the agent's line.
        carrier: at the trunk's address.
    """

    ports: Ports
    folder: Path
    gateway: SipClient
    carrier: SipClient
    stranger: SipClient
    phone: SipClient
    other_phone: SipClient
    victim: SipClient


@dataclass(frozen=True)
class Talk:
    """A call that was answered.

    Attributes:
        call_id: its Call-ID.
        routes: the Route headers of the caller's messages; of the callee's in the other order.
        caller: who called; its tag is ``mine``.
        callee: who answered; its tag is ``theirs``.
    """

    call_id: str
    routes: list[str]
    caller: SipClient
    callee: SipClient

    @property
    def route(self) -> str:
        """The Route header of its messages, where one proxy address is in the way."""
        (route,) = self.routes
        return route

    def says(self, one: SipClient, method: str, uri: str | None = None, route: str | None = None) -> str:
        """Write a message within the call, sent by anybody as if by the caller."""
        headers = [route] if route else [f"Route: {route}" for route in self.routes]
        to = uri or f"sip:agent@{self.callee.here}"
        return one.request(method, to, call_id=self.call_id, to_tag="theirs", headers=headers)

    def answers(self, one: SipClient, method: str, uri: str | None = None) -> str:
        """Write a message within the call, sent by anybody as if by the callee."""
        headers = [f"Route: {route}" for route in reversed(self.routes)]
        to = uri or f"sip:stranger@{self.caller.here}"
        return one.request(method, to, call_id=self.call_id, tag="theirs", to_tag="mine", headers=headers)


def proxy(place: Place) -> AbstractAsyncContextManager[Program]:
    return phones.kamailio(
        place.folder / "kamailio", place.ports, outbound=f"sip:{place.carrier.here}", TRUNK=TRUNK
    )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A proxy that runs until the test stops it."""
    ports = Ports(*free_ports(2))
    async with AsyncExitStack() as stack:
        names = (GATEWAY, CARRIER, STRANGER, PHONE, OTHER_PHONE, VICTIM)
        clients = [await stack.enter_async_context(sip_client(name, ports.sip)) for name in names]
        yield Place(ports, tmp_path, *clients)


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Program]:
    """The proxy, with the line registered."""
    async with proxy(place) as kamailio:
        assert (await place.gateway.register(phones.USER, phones.PASSWORD)).startswith("SIP/2.0 200 ")
        yield kamailio


async def call(caller: SipClient, callee: SipClient, uri: str, name: str = "stranger") -> Talk:
    """Call, answer, acknowledge."""
    invite = caller.request("INVITE", uri, caller=name)
    caller.send(invite)
    call_id = header(invite, "Call-ID")
    came = await callee.receive(lambda text: text.startswith("INVITE ") and header(text, "Call-ID") == call_id)
    callee.send(reply(came, "200 OK", f"Contact: <sip:agent@{callee.here}>"))
    answer = await caller.receive(lambda text: is_final(text) and header(text, "Call-ID") == call_id)
    assert answer.startswith("SIP/2.0 200 "), answer
    talk = Talk(call_id, headers(answer, "Record-Route")[::-1], caller, callee)
    caller.send(talk.says(caller, "ACK"))
    await callee.receive(lambda text: text.startswith("ACK ") and header(text, "Call-ID") == call_id)
    return talk


async def passes(request: str, sender: SipClient, receiver: SipClient) -> None:
    """Send a message within a call; check that it arrives and that its answer comes back."""
    branch = f"branch={branch_of(request)}"
    sender.send(request)
    came = await receiver.receive(lambda text: branch in text and not text.startswith("SIP/2.0"))
    receiver.send(reply(came, "200 OK"))
    answer = await sender.receive(lambda text: branch in text and is_final(text))
    assert answer.startswith("SIP/2.0 200 "), answer


async def refused(sender: SipClient, request: str, *bystanders: SipClient) -> None:
    """Send a message; check that it is refused and that nobody else hears of it."""
    answer = await sender.ask(request)
    assert re.match(r"SIP/2\.0 40[35] ", answer), answer
    await asyncio.sleep(0.05)
    for one in bystanders:
        assert not [text for text in one.got if branch_of(request) in text], one.got[-1]


async def carriers_call(place: Place) -> Talk:
    return await call(place.carrier, place.gateway, f"sip:+15550001@127.0.0.1:{place.ports.sip}")


@pytest.mark.parametrize("method", IN_DIALOG)
async def test_the_proxy_relays_nothing_for_strangers(place: Place, running: Program, method: str) -> None:
    """A stranger pretends to be within a call, with every Route it can think of."""
    victim, own = f"sip:victim@{place.victim.here}", f"127.0.0.1:{place.ports.sip}"
    token = "0" * 32
    for routes in (
        [],
        [f"Route: <sip:{own};lr>"],
        [f"Route: <sip:{own};lr;token={token}>"],
        [f"Route: <sip:{own};lr>", f"Route: <{victim};lr>"],
        [f"Route: <sip:{own};lr;token={token}>, <{victim};lr>"],
        [f"Route: <{victim};lr>"],
        [f"Route: <{victim};lr;token={token}>"],
        [f"Route: <{victim}>"],
    ):
        for uri in (victim, f"sip:agent@{place.gateway.here}", f"sip:{own};lr"):
            request = place.stranger.request(method, uri, to_tag="theirs", headers=routes)
            place.stranger.send(request)
    await asyncio.sleep(0.5)
    heard = [
        text for one in (place.victim, place.gateway, place.carrier) for text in one.got if method in text[:20]
    ]
    relayed = {header(text, "Call-ID") for text in heard}
    assert not relayed, f"{len(relayed)} of 24 were relayed: {heard[0]}"
    assert not [text for text in place.stranger.got if text.startswith("SIP/2.0 2")]


async def test_a_call_goes_on_for_its_two_ends_alone(place: Place, running: Program) -> None:
    talk = await carriers_call(place)
    other = await carriers_call(place)
    gateway, carrier, stranger, victim = place.gateway, place.carrier, place.stranger, place.victim
    await passes(talk.says(carrier, "INFO"), carrier, gateway)
    await passes(talk.answers(gateway, "INVITE"), gateway, carrier)
    # Who has seen the call's messages, but sits elsewhere:
    for method in ("BYE", "INVITE", "REFER"):
        await refused(stranger, talk.says(stranger, method), gateway, carrier)
        await refused(stranger, talk.answers(stranger, method), carrier, gateway)
    # The two ends themselves reach nobody else, and not by another call's token:
    to_victim = f"sip:victim@{victim.here}"
    await refused(carrier, talk.says(carrier, "MESSAGE"), gateway)
    for method in ("BYE", "INVITE", "INFO"):
        await refused(carrier, talk.says(carrier, method, to_victim), victim)
        await refused(carrier, talk.says(carrier, method, route=f"Route: {talk.route}, <{to_victim};lr>"), victim)
        await refused(gateway, talk.answers(gateway, method, to_victim), victim)
        await refused(carrier, talk.says(carrier, method, route=f"Route: {other.route}"), gateway)
    service = f"sip:x@{GATEWAY}:{place.ports.websocket}"
    await refused(carrier, talk.says(carrier, "INFO", service), gateway)
    await passes(talk.says(carrier, "BYE"), carrier, gateway)


async def test_a_call_crosses_from_the_carriers_side_to_the_gateways(place: Place) -> None:
    """The proxy has an address for each, so that the gateway can hide on loopback."""
    outside = "127.0.0.7"
    async with (
        phones.kamailio(place.folder, place.ports, TRUNK=TRUNK, INSIDE=f"udp:{outside}:{place.ports.sip}"),
        sip_client(CARRIER, place.ports.sip, outside) as carrier,
        sip_client(STRANGER, place.ports.sip, outside) as stranger,
    ):
        await place.gateway.register(phones.USER, phones.PASSWORD)
        talk = await call(carrier, place.gateway, f"sip:+15550001@{outside}:{place.ports.sip}")
        assert len(talk.routes) == 2
        await refused(stranger, talk.says(stranger, "BYE"), place.gateway)
        await passes(talk.says(carrier, "INFO"), carrier, place.gateway)
        await passes(talk.answers(place.gateway, "BYE"), place.gateway, carrier)


@pytest.mark.parametrize("who", ["carrier", "gateway"])
async def test_a_running_call_ends_after_a_restart(place: Place, who: str) -> None:
    async with proxy(place):
        assert (await place.gateway.register(phones.USER, phones.PASSWORD)).startswith("SIP/2.0 200 ")
        talk = await carriers_call(place)
    async with proxy(place):
        await refused(place.stranger, talk.says(place.stranger, "BYE"), place.gateway)
        if who == "carrier":
            await passes(talk.says(place.carrier, "BYE"), place.carrier, place.gateway)
        else:
            await passes(talk.answers(place.gateway, "BYE"), place.gateway, place.carrier)


async def test_a_phone_speaks_in_the_call_that_it_answered(place: Place, running: Program) -> None:
    for one, name in ((place.phone, "phone1"), (place.other_phone, "phone2")):
        assert (await one.register(name, phones.PHONE_PASSWORD)).startswith("SIP/2.0 200 ")
    talk = await call(place.gateway, place.phone, f"sip:phone1@127.0.0.1:{place.ports.sip}", phones.USER)
    await refused(place.other_phone, talk.answers(place.other_phone, "BYE"), place.gateway)
    await refused(place.phone, talk.answers(place.phone, "INVITE", f"sip:x@{place.carrier.here}"), place.carrier)
    await refused(place.phone, talk.answers(place.phone, "INVITE", f"sip:x@{place.victim.here}"), place.victim)
    await refused(
        place.phone, place.phone.request("INVITE", f"sip:agent@127.0.0.1:{place.ports.sip}"), place.gateway
    )
    await passes(talk.says(place.gateway, "INVITE"), place.gateway, place.phone)
    await passes(talk.answers(place.phone, "BYE"), place.phone, place.gateway)


async def test_a_call_to_the_trunk_goes_on_for_its_two_ends_alone(place: Place, running: Program) -> None:
    talk = await call(place.gateway, place.carrier, f"sip:+15550001@127.0.0.1:{place.ports.sip}", phones.USER)
    await refused(place.stranger, talk.answers(place.stranger, "BYE"), place.gateway)
    await refused(place.carrier, talk.answers(place.carrier, "INVITE", f"sip:x@{place.victim.here}"), place.victim)
    await passes(talk.says(place.gateway, "INVITE"), place.gateway, place.carrier)
    await passes(talk.answers(place.carrier, "BYE"), place.carrier, place.gateway)


async def test_a_phone_cannot_have_somebody_else_called(place: Place, running: Program) -> None:
    elsewhere = f"sip:x@{place.victim.here}"
    await place.phone.register("phone1", phones.PHONE_PASSWORD, contact=elsewhere)
    invite = place.gateway.request("INVITE", f"sip:phone1@127.0.0.1:{place.ports.sip}", caller=phones.USER)
    answer = await place.gateway.ask(invite)
    assert answer.startswith("SIP/2.0 480 "), answer
    assert await place.victim.hears_nothing("INVITE")


async def test_where_a_call_goes_is_not_its_senders_choice(place: Place, running: Program) -> None:
    route = [f"Route: <sip:127.0.0.1:{place.ports.sip};lr>, <sip:{place.victim.here};lr>"]
    invite = place.carrier.request("INVITE", f"sip:x@{place.victim.here}", headers=route)
    place.carrier.send(invite)
    came = await place.gateway.receive("INVITE")
    assert not header(came, "Route")
    assert await place.victim.hears_nothing("INVITE")


async def test_a_stranger_cannot_cancel_a_call_that_rings(place: Place, running: Program) -> None:
    invite = place.carrier.request("INVITE", f"sip:+15550001@127.0.0.1:{place.ports.sip}")
    place.carrier.send(invite)
    place.gateway.send(reply(await place.gateway.receive("INVITE"), "180 Ringing"))
    await place.carrier.receive("SIP/2.0 180")
    cancel = re.sub(r"CSeq: (\d+) INVITE", r"CSeq: \1 CANCEL", invite.replace("INVITE ", "CANCEL ", 1))
    place.stranger.send(cancel)
    assert await place.gateway.hears_nothing("CANCEL")
    place.carrier.send(cancel)
    await place.gateway.receive("CANCEL")


async def test_replies_to_nothing_are_not_passed_on(place: Place, running: Program) -> None:
    own, victim = f"127.0.0.1:{place.ports.sip}", place.victim.here
    forged = place.stranger.request("INVITE", "sip:x@y").replace("INVITE sip:x@y SIP/2.0", "SIP/2.0 200 OK", 1)
    vias = f"Via: SIP/2.0/UDP {own};branch=z9hG4bK1\r\nVia: SIP/2.0/UDP {victim};branch=z9hG4bK2"
    place.stranger.send(re.sub(r"Via: [^\r]*", vias, forged, count=1))
    assert await place.victim.hears_nothing("SIP/2.0")


# registration


def code(answer: str) -> int:
    return int(answer.split(" ")[1])


async def guess(one: SipClient, user: str, most: int) -> int:
    """Try wrong passwords until the proxy stops listening; return how many it took."""
    for count in range(most):
        first = await one.ask(one.request("REGISTER", f"sip:{one.proxy}", caller=user, callee=user))
        if code(first) == 403:
            return count
        assert code(await one.ask(await one.try_password(user, f"wrong{count}"))) in (401, 403)
    return most


async def test_guesses_lock_out_who_guesses_and_not_the_line(place: Place, running: Program) -> None:
    async with sip_client(STRANGER, place.ports.sip) as guesser:
        tries = await guess(guesser, phones.USER, 15)
        print(f"the line's password: {tries} wrong ones from one address are listened to")
        assert tries == 10
    assert code(await place.stranger.ask(place.stranger.request("REGISTER", "sip:x", caller="phone1"))) == 403
    async with sip_client(PHONE, place.ports.sip) as phone:  # others are heard as before
        assert code(await phone.register("phone1", phones.PHONE_PASSWORD)) == 200
    assert code(await place.gateway.register(phones.USER, phones.PASSWORD)) == 200
    talk = await carriers_call(place)
    await passes(talk.says(place.carrier, "BYE"), place.carrier, place.gateway)


async def test_guesses_from_the_lines_own_machine_do_not_lock_it_out(place: Place, running: Program) -> None:
    async with sip_client(GATEWAY, place.ports.sip) as guesser:
        assert await guess(guesser, phones.USER, 15) == 10
    assert code(await place.gateway.register(phones.USER, phones.PASSWORD)) == 200


async def test_an_account_is_locked_for_all_but_its_owner(place: Place, running: Program) -> None:
    assert code(await place.phone.register("phone1", phones.PHONE_PASSWORD)) == 200
    heard = 0
    for number in range(8):
        async with sip_client(f"127.0.1.{number + 1}", place.ports.sip) as guesser:
            heard += await guess(guesser, "phone1", 9)
    print(f"a phone's password: {heard} wrong ones from 8 addresses are listened to")
    assert heard == 50
    assert code(await place.phone.register("phone1", phones.PHONE_PASSWORD)) == 200
    thief = place.other_phone
    assert (
        code(await thief.ask(thief.request("REGISTER", f"sip:{thief.proxy}", caller="x", callee="phone1"))) == 403
    )
    assert code(await thief.register("phone2", phones.PHONE_PASSWORD)) == 200


async def test_a_nonce_is_good_for_one_try_from_one_address(place: Place, running: Program) -> None:
    def same(one: SipClient, first: str) -> str:
        """Write the REGISTER of somebody else, or of before, with what it authenticated with."""
        headers = [f"Authorization: {header(first, 'Authorization')}"]
        return one.request("REGISTER", f"sip:{one.proxy}", caller="phone1", callee="phone1", headers=headers)

    seen = await place.phone.try_password("phone1", phones.PHONE_PASSWORD)
    assert code(await place.other_phone.ask(same(place.other_phone, seen))) == 401
    right = await place.phone.try_password("phone1", phones.PHONE_PASSWORD)
    assert code(await place.phone.ask(right)) == 200
    assert code(await place.phone.ask(same(place.phone, right))) == 401
    wrong = await place.phone.try_password("phone1", "wrong")
    for _ in range(20):  # what was used is no guess, so this locks nobody out
        assert code(await place.phone.ask(same(place.phone, wrong))) == 401
    assert code(await place.phone.register("phone1", phones.PHONE_PASSWORD)) == 200


async def test_strangers_do_not_learn_which_names_there_are(place: Place, running: Program) -> None:
    async def answers(user: str) -> list[str]:
        """What a stranger is told of a name: unasked for a password, with a wrong one, by somebody else's name."""
        one = place.stranger
        uri = f"sip:{one.proxy}"
        told = [
            await one.ask(one.request("REGISTER", uri, caller=user, callee=user)),
            await one.ask(await one.try_password(user, "wrong")),
            await one.ask(await one.try_password(user, "wrong", name="other")),
            await one.ask(one.request("INVITE", f"{uri.replace('sip:', f'sip:{user}@')}", callee=user)),
        ]
        return [re.sub(r'(nonce|tag|branch)="?[^;"\r\n]*|(Call-ID|CSeq|From|To): .*', "", text) for text in told]

    seen = {user: await answers(user) for user in (phones.USER, "phone1", "nobody")}
    assert seen[phones.USER] == seen["phone1"] == seen["nobody"]
    assert [code(text) for text in seen["nobody"]] == [401, 401, 401, 403]


async def test_the_lines_name_is_the_gateways(place: Place, running: Program) -> None:
    """Someone who knows the line's password must still be at the gateway's address."""
    assert code(await place.stranger.register(phones.USER, phones.PASSWORD)) == 401
    await carriers_call(place)  # rings at the gateway, as before


# floods


@pytest.mark.parametrize("addresses", [1, 100])
async def test_a_flood_holds_up_nobody_else(place: Place, running: Program, addresses: int) -> None:
    async with AsyncExitStack() as stack:
        names = [f"127.0.2.{number + 1}" for number in range(addresses)]
        senders = [await stack.enter_async_context(sip_client(name, place.ports.sip)) for name in names]
        talk = await carriers_call(place)
        began = time.monotonic()
        flooding = asyncio.create_task(flood(*senders))
        asked = slowest_s = 0.0
        while not flooding.done():
            sent = time.monotonic()
            await passes(talk.says(place.carrier, "INFO"), place.carrier, place.gateway)
            asked, slowest_s = asked + 1, max(slowest_s, time.monotonic() - sent)
            await asyncio.sleep(0.02)
        took_s = time.monotonic() - began
        await carriers_call(place)
        assert code(await place.gateway.register(phones.USER, phones.PASSWORD)) == 200
        answered = sum(len(one.got) for one in senders)
        print(
            f"{FLOOD} requests from {addresses} addresses in {took_s:.1f} s: {answered} answered; "
            f"{asked:.0f} messages of a call meanwhile, none lost, the slowest {1000 * slowest_s:.0f} ms"
        )
        assert answered <= (100 if addresses == 1 else 200 * (took_s + 2))
        assert slowest_s < 0.5  # T1, after which it would have been sent again
        await passes(talk.says(place.carrier, "BYE"), place.carrier, place.gateway)


async def test_what_cannot_be_read_fills_no_log(place: Place, running: Program) -> None:
    """The line is still served after 400 damaged messages from a stranger and from the carrier."""
    seeded, said = random.Random(1), len(running.output)
    for one in (place.stranger, place.carrier) * 200:
        method = seeded.choice(["INVITE", "BYE", "REGISTER", "ACK", "CANCEL"])
        routes = seeded.choice([[], ["Route: <sip:a@b;lr>"], ["Route: garbage"], ["Authorization: x"]])
        broken = bytearray(one.request(method, "sip:x@127.0.0.4:9", headers=routes).encode())
        for _ in range(3):
            broken[seeded.randrange(len(broken))] = seeded.randrange(256)
        one.send(bytes(broken))
        await asyncio.sleep(0.001)
    assert code(await place.gateway.register(phones.USER, phones.PASSWORD)) == 200
    lines = running.output[said:]
    print(f"400 messages that cannot be read: {len(lines)} lines of log")
    assert len(lines) < 20, lines
