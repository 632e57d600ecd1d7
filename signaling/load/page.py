"""The report as one HTML page that needs nothing else: Plotly and the data are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import ConfigError

TEMPLATE = Path(__file__).with_name("report.html")


def plotly() -> str:
    """Return Plotly's program.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ConfigError("--html needs plotly: install talkspurt with the extra 'load'") from None
    program: str = get_plotlyjs()
    return program


def page(report: Mapping[str, Any], program: str) -> str:
    """Return the page of a report; ``program`` is what `plotly` returns."""
    # A "<" could end the element that the data stands in; in JSON it may as well be written so.
    data = json.dumps(report, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    before, between_and_after = TEMPLATE.read_text(encoding="utf-8").split("/*plotly*/")
    between, after = between_and_after.split("/*report*/")
    return "".join((before, program, between, data, after))
