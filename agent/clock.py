"""Clocks. Pure code never reads them: it is passed the time, in monotonic seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns monotonic seconds."""

monotonic: Clock = time.monotonic
unix: Clock = time.time
"Seconds since 1970; only for values that outlive the process."
