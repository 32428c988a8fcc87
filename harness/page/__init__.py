"""Runs and comparisons -> one self-contained HTML file. Pure: reads nothing but its own templates."""

from harness.page.render import render
from harness.page.report import Report

__all__ = ["Report", "render"]
