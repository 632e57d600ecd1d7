"""``python -m agent.emulator``: the same command as ``talkspurt emulate``."""

import sys

from agent.emulator.command import main

sys.exit(main())
