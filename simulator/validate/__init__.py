"""Predicted beside measured, for every target with published measurements."""

from .intervals import interval_of
from .rows import Validation, ValidationRow, error_of
from .run import validate

__all__ = ["Validation", "ValidationRow", "error_of", "interval_of", "validate"]
