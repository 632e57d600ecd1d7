"""Free the memory of a closed peer connection at once. This file uses private names of aiortc and aioice.

What is left of a closed connection is kept alive by reference cycles: functions that replace methods (in the other
taps) refer to their owner, aiortc's listeners to the connection they belong to, aioice's candidate pairs and
pending checks to their socket, a cancelled check to the frames in which it was cancelled, data channels whose
opening was never sent to their association, and pyOpenSSL's verification to itself. Without this, some hundred
objects per call, with all their buffers, would wait for Python's collector.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection

_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_CHANNELS = ("_data_channels", "_data_channel_queue")


def let_go(pc: RTCPeerConnection) -> None:
    """Break the reference cycles in a closed peer connection; it cannot be used afterwards.

    Anything that is not where this aiortc keeps it is left to the collector.
    """
    transports = set()
    for transceiver in pc.getTransceivers():
        receiver: Any = transceiver.receiver
        transports |= {receiver.transport, transceiver.sender.transport}
        _give_methods_back(receiver)
        setattr(receiver, _BUFFER, None)
    if pc.sctp is not None:
        transports.add(pc.sctp.transport)
        pc.sctp.remove_all_listeners()
        _give_methods_back(pc.sctp)
        for channels in (getattr(pc.sctp, name, None) for name in _CHANNELS):
            if channels is not None:
                channels.clear()
    for transport in transports:
        _let_go_of_transport(transport)


def _let_go_of_transport(transport: Any) -> None:
    transport.remove_all_listeners()
    connection = getattr(transport.transport, "_connection", None)
    for owner in (
        transport,
        connection,
        getattr(transport, "_rtp_router", None),
        getattr(transport, "_rtp_header_extensions_map", None),
    ):
        _give_methods_back(owner)
    verify = getattr(_ssl_context(transport), "_verify_helper", None)
    if verify is not None:
        verify.callback = None  # only called during handshakes
    pairs = getattr(connection, "_check_list", [])
    for pair in pairs:
        pair.task = None
    pairs.clear()
    early_checks = getattr(connection, "_early_checks", [])
    early_checks.clear()


def _ssl_context(transport: Any) -> Any:
    ssl = getattr(transport, "_ssl", None)
    return None if ssl is None else ssl.get_context()


def _give_methods_back(owner: Any) -> None:
    """Remove the attributes that replace methods of their owner's class."""
    kind = type(owner)
    for name in [name for name in getattr(owner, "__dict__", ()) if callable(getattr(kind, name, None))]:
        delattr(owner, name)
