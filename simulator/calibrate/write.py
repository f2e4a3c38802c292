"""A target as the text of a TOML file: numbers to six digits, which is more than any measurement has."""

from __future__ import annotations

import msgspec

from ..target_processor import ProcessorTarget

__all__ = ["target_toml"]

DIGITS = 6


def target_toml(target: ProcessorTarget, comment: str) -> str:
    """TOML with `comment` above it; sources that no number names are left out."""
    document = msgspec.to_builtins(target)
    used = _sources(document)
    document["sources"] = {name: text for name, text in document["sources"].items() if name in used}
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + msgspec.toml.encode(_without_defaults(document)).decode()


def _sources(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["source"]} if "source" in node and "value" in node else set()
        return own.union(*map(_sources, node.values()))
    return set().union(*map(_sources, node)) if isinstance(node, list | tuple) else set()


def _without_defaults(node: object) -> object:
    """TOML has no null; what is empty is what it is when left out."""
    if isinstance(node, float):
        return float(f"{node:.{DIGITS}g}")
    if isinstance(node, dict):
        kept = {name: _without_defaults(value) for name, value in node.items() if value not in (None, "", {}, [], ())}
        return {name: value for name, value in kept.items() if value not in ({}, [])}
    return [_without_defaults(value) for value in node] if isinstance(node, list | tuple) else node
