"""The report: one HTML file made from stored results, which it never recomputes."""

from infotherm.report.html import render, write

__all__ = ["render", "write"]
