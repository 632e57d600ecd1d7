"""The tests. This is imported first: what the imports create stays, so searching it for cycles is a waste."""

import gc

gc.set_threshold(100_000, 50, 100)
