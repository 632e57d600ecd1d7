"""Send spans to a collector over OTLP/HTTP, in a thread of its own.

The SDK's batch processor does that: it holds up to `MAX_WAITING` spans; when it is full, it drops the newest. There
is no tracer: spans are made here as finished values, because they are known only afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from agent import events
from agent.call.call import Call
from agent.call.trace import SpanName, Trace
from agent.clock import Clock, monotonic
from agent.redact import without_secrets
from agent.settings import Settings
from signaling.process.seldom import OncePerMinute
from signaling.traces import names
from signaling.traces.spans import About, CallSpans, Figures, Span
from signaling.webrtc.leg import Leg

logger = logging.getLogger(__name__)

SERVICE = "talkspurt"
TRACES_PATH = "/v1/traces"
MAX_WAITING = 4096
MAX_BATCH = 512
DELAY_MS = 2000.0
TIMEOUT_S = 5.0  # per request, including its retries
END_TIMEOUT_S = 3.0
MAX_REASON_CHARS = 300
_ERRNO = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}


def traces_url(endpoint: str) -> str:
    """Return the URL for traces: an address without a path gets OTLP's ``/v1/traces``; others stay as they are."""
    return endpoint.rstrip("/") + TRACES_PATH if urlsplit(endpoint).path in ("", "/") else endpoint


def try_collector(endpoint: str) -> str | None:
    """Send a collector no spans at all; return why it did not accept them, None if it did.

    This blocks, for up to `TIMEOUT_S`.

    Args:
        endpoint: the setting `otlp_endpoint`.
    """
    said: list[str] = []
    library = logging.getLogger("opentelemetry")
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    library.addHandler(listener)
    propagates, library.propagate = library.propagate, False
    exporter = OTLPSpanExporter(traces_url(endpoint), timeout=TIMEOUT_S)
    try:
        if exporter.export([]) is SpanExportResult.SUCCESS:
            return None
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
        library.propagate = propagates
        library.removeHandler(listener)
    reason = without_secrets(said[0], endpoint) if said else "it does not answer"
    errno = _ERRNO.search(reason)  # the libraries wrap it in a sentence of their own each
    return errno[1] if errno is not None else reason.splitlines()[0][:MAX_REASON_CHARS]


class Complaining(SpanExporter):
    """Sends spans, and logs failures at most once a minute; the SDK would log each attempt.

    Args:
        exporter: sends the spans.
        clock: monotonic seconds.
    """

    def __init__(self, exporter: SpanExporter, clock: Clock = monotonic) -> None:
        self._exporter = exporter
        self._lost = 0
        self._minute = OncePerMinute(clock)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called in the SDK's thread."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if self._minute.due():
                logger.warning("traces do not reach otlp_endpoint: %d spans are lost so far", self._lost)
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()


class Export:
    """Send the traces of this process.

    Args:
        settings: the service's settings.
        offline_demo: True if the Live server is the local emulator.
    """

    def __init__(self, settings: Settings, *, offline_demo: bool) -> None:
        assert settings.otlp_endpoint is not None, "otherwise nothing is exported"
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `Complaining` logs failures, once a minute
        url = traces_url(settings.otlp_endpoint)
        sender = OTLPSpanExporter(url, timeout=TIMEOUT_S, compression=Compression.Gzip)
        self._exporter = Complaining(sender)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_WAITING,
            schedule_delay_millis=DELAY_MS,
            max_export_batch_size=MAX_BATCH,
        )
        self._resource = Resource.create(
            {
                "service.name": SERVICE,
                "service.version": version(SERVICE),
                "service.instance.id": secrets.token_hex(8),
            }
        )
        self._scope = InstrumentationScope(SERVICE, version(SERVICE))
        self._content = settings.trace_content
        self._speaks = settings.audio_output
        vertex = settings.vertex_project is not None or settings.vertex_api_key is not None
        self._provider = names.EMULATOR if offline_demo else names.VERTEX_AI if vertex else names.GEMINI

    def watch(self, leg: Leg) -> None:
        """Trace a call that is about to run; for `Calls.watchers`."""
        call = leg.call
        if not call.trace.sampled:
            return
        about = About(
            call_id=call.call_id,
            provider=self._provider,
            model=call.model,
            speaks=self._speaks,
            content=self._content,
        )
        parent_id = None if call.trace.parent is None else call.trace.parent.span_id
        spans = CallSpans(about, call.timeline, partial(_figures, call), _new_span_id, parent_id)
        call.observe(partial(self._note, call.trace, spans))

    async def end(self) -> None:
        """Send the waiting spans; give up after `END_TIMEOUT_S`."""
        sent, loop = asyncio.Event(), asyncio.get_running_loop()

        def send() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with suppress(RuntimeError):  # the loop is closed, so nobody is waiting any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, name="traces-end", daemon=True).start()
        try:
            await asyncio.wait_for(sent.wait(), END_TIMEOUT_S)
        except TimeoutError:
            logger.warning("the last traces did not reach otlp_endpoint in time")
            self._exporter.shutdown()

    def _note(self, trace: Trace, spans: CallSpans, event: events.Event) -> None:
        for span in spans.note(event, monotonic()):
            self._processor.on_end(self._readable(trace, span))

    def _readable(self, trace: Trace, span: Span) -> ReadableSpan:
        root = span.name == names.CALL
        return ReadableSpan(
            span.name,
            context=_context(SpanName(trace.trace_id, span.span_id)),
            parent=None if span.parent_id is None else _context(SpanName(trace.trace_id, span.parent_id), root),
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(happened.name, happened.attributes, _ns(happened.at)) for happened in span.happened],
            links=[Link(_context(trace.link, remote=True))] if root and trace.link is not None else [],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
            start_time=_ns(span.began),
            end_time=_ns(span.ended),
            instrumentation_scope=self._scope,
        )


def _context(named: SpanName, remote: bool = False) -> SpanContext:
    return SpanContext(int(named.trace_id, 16), int(named.span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))


def _figures(call: Call) -> Figures:
    return Figures(
        session_id=call.live.session_id,
        cost_usd=call.meter.total().usd,
        interruptions=call.counts.interruptions,
        mos_in=call.quality.heard.mean,
        mos_out=call.quality.sent.mean,
    )


def _new_span_id() -> str:
    return secrets.token_hex(8)


def _ns(unix_s: float) -> int:
    return round(unix_s * 1e9)
