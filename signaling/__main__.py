"""`python -m signaling` is the command `talkspurt`."""

from signaling.cli import main

main()
