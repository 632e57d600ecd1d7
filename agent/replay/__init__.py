"""Captured calls, written and played again. See docs/replay.md."""
