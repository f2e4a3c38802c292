"""Fits of a target's factors to measurements."""
