"""Server events, as OpenAI's Realtime API writes them. Pure."""

from __future__ import annotations

from signaling.dialects.openai.items import Json


class Wire:
    """Numbers the server events of one client."""

    def __init__(self) -> None:
        self._count = 0

    def event(self, kind: str, **fields: object) -> Json:
        """Return a server event with an id of its own."""
        self._count += 1
        return {"type": kind, "event_id": f"event_{self._count}", **fields}

    def error(self, code: str, words: str, *, param: str | None = None, event_id: str | None = None) -> Json:
        """Return an error that an event of the client caused.

        Args:
            code: a short machine-readable word.
            words: one sentence for the client's developer.
            param: the field that is wrong.
            event_id: the id of the client's event.
        """
        return self._error("invalid_request_error", code, words, param, event_id)

    def failure(self, code: str, words: str) -> Json:
        """Return an error that the client did not cause; see `error`."""
        return self._error("server_error", code, words, None, None)

    def _error(self, kind: str, code: str, words: str, param: str | None, event_id: str | None) -> Json:
        error = {"type": kind, "code": code, "message": words, "param": param, "event_id": event_id}
        return self.event("error", error=error)
