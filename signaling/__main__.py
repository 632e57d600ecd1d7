"""`python -m signaling` is the command `talkspurt`."""

import sys

# Python looks into the working directory first. A file there that is called json.py, or an agent's file called
# agent.py, must stand in nobody's way; unless it is the directory that talkspurt itself was found in.
if not sys.flags.safe_path and __file__ != f"{sys.path[0]}/signaling/__main__.py":
    del sys.path[0]

from signaling.command.cli import main

main()
