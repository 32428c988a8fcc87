"""Builds the variants that a suite's recipes describe."""
