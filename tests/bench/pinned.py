"""Become another program, held to one core: ``python -m tests.bench.pinned 0 /path/program args``.

The core is chosen before the program starts, so that the threads which its imports start are held to it as well.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.execv(sys.argv[2], sys.argv[2:])
