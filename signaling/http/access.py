"""Who may do what with a call: holders of the server key, and of the client secret that the call was made with."""

from __future__ import annotations

from aiohttp import web

from agent.clock import unix
from agent.errors import OfferError
from agent.settings import Settings
from signaling.http.tickets import PREFIX, Ticket, Tickets
from signaling.http.tokens import authorise, bearer
from signaling.webrtc.client_leg import ClientLeg
from signaling.webrtc.leg import Leg


class Access:
    """Decides for one service.

    Args:
        settings: the service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.tickets = Tickets(settings)
        self._settings = settings

    def want_caller(self, request: web.Request) -> Ticket | None:
        """Accept a request that begins a call: with the server key, a client secret, or no key if none is set.

        Returns:
            What the client secret says; None if the request came without one.

        Raises:
            OfferError: 401.
        """
        token = bearer(request)
        if not token.startswith(PREFIX):
            authorise(request, self._settings)
            return None
        try:
            return self.tickets.read(token, unix())
        except OfferError as error:
            if self._settings.server_key is None and error.code == "invalid_client_secret":
                return None  # anyone may call, and OpenAI's clients want something that begins with ek_
            raise

    def want_party(self, request: web.Request, leg: Leg | None) -> None:
        """Accept a request about a call: with the server key, or the client secret that the call was made with.

        A client secret that has expired since is accepted: the call goes on.

        Args:
            request: the request.
            leg: the call; None if it is over or unknown.

        Raises:
            OfferError: 401; 403 for the client secret of another call.
        """
        token = bearer(request)
        if self._settings.server_key is None or not token.startswith(PREFIX):
            authorise(request, self._settings)
            return
        ticket = self.tickets.read(token, unix(), expired_too=True)
        made_with = leg.ticket_id if isinstance(leg, ClientLeg) else None
        if leg is not None and made_with != ticket.ticket_id:
            raise OfferError(403, "not_your_call", "The call was made with another client secret.")
