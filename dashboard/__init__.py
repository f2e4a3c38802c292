"""The explorer in the browser: a Dash application over an Exploration."""

from .app import create_app
from .serve import serve

__all__ = ["create_app", "serve"]
