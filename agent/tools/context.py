"""The call that a tool runs in, as the tool sees it."""

from __future__ import annotations

from typing import Any, Protocol


class CallContext(Protocol):
    """Handed to a tool that asks for it; may be used from any thread, and does nothing once the call is over."""

    def progress(self, value: Any) -> None:
        """Tell the model how far the tool is; it may speak of it. Not more often than once a second.

        Only of a tool whose behavior is ``NON_BLOCKING``; of others the model waits for the answer alone.

        Args:
            value: what JSON can hold.

        Raises:
            ToolError: it is too long.
            TypeError, ValueError: JSON cannot hold it.
        """
