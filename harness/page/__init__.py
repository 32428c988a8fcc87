"""Runs and comparisons -> self-contained HTML files. Pure: reads nothing but its own templates."""

from harness.page.render import pages, render
from harness.page.report import Report

__all__ = ["Report", "pages", "render"]
