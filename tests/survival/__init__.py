"""A call outlives its Live sessions: the line that the tests and the long runs share."""
