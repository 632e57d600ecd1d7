"""The measuring bench: what the service adds to a call, beside plain aiortc. ``python -m tests.bench --help``."""
