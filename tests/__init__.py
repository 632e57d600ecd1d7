"""The tests. Imported before all else of them: what the imports make stays, so searching it for cycles is waste."""

import gc

gc.set_threshold(100_000, 50, 100)
