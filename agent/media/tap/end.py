"""Let the memory of a closed peer connection go at once: one of the files with private names of aiortc and aioice.

What is left of one holds itself: the objects that stand in for methods (the other taps) hold their owner,
aiortc's listeners hold the connection that they belong to, aioice's candidate pairs and waiting checks hold their
socket, a check that was cancelled holds the frames that it was cancelled in, data channels whose opening was never
sent hold their association, and pyOpenSSL's verification holds itself. Only Python's collector would find them,
some hundred objects and all their buffers per call.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection

_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_CHANNELS = ("_data_channels", "_data_channel_queue")


def let_go(pc: RTCPeerConnection) -> None:
    """Break what holds itself in a peer connection that is closed; nothing else can be done with it then.

    Whatever is not where this aiortc has it is left alone, and to the collector.
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
        verify.callback = None  # it is called in handshakes only
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
    """Drop the attributes that stand in for methods of their owner's class."""
    kind = type(owner)
    for name in [name for name in getattr(owner, "__dict__", ()) if callable(getattr(kind, name, None))]:
        delattr(owner, name)
