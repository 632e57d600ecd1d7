"""A call survives its Live sessions and what goes wrong in them: tests, and one long call to measure."""
