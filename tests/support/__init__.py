"""What several tests share: services and calls to test, and ways to hear and see what came of them.

Test modules import from here, never from one another.
"""
