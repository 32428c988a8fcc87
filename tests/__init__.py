"""The tests, and the small labs and models they share."""
