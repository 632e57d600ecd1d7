"""Write captured calls to files, and replay them. See docs/replay.md."""
