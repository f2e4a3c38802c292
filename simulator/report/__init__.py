"""Reports to send: one self-contained HTML file, or Markdown, CSV and JSON of the same numbers."""

from .build import build_report
from .content import Report
from .export import SUFFIXES, write_report

__all__ = ["SUFFIXES", "Report", "build_report", "write_report"]
