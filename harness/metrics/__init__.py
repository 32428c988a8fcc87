"""Predictions -> estimates: one file a task, whose name is the `kind` of `[task]`."""
