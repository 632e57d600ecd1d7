"""Time as the pure code gets it: monotonic seconds, passed in."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns monotonic seconds."""

monotonic: Clock = time.monotonic
unix: Clock = time.time
"Seconds since 1970: for what outlives the process only."
