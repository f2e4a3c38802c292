"""Measure the errors that ship with the package: `python -m picojoule.simulator.explore.ship`.

Rewrites errors.csv beside this file, from the shipped weights alone. Needs the extra [run].
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .accuracy import ErrorTable
from .run import explore
from .study import SHIPPED

__all__ = ["main"]


def main(models: tuple[str, ...] = SHIPPED, workers: int = 2) -> Path:
    """Explore the shipped networks with an empty table of shipped errors, and keep what was measured."""
    from . import accuracy

    home = Path(__file__).with_name("errors.csv")
    home.unlink(missing_ok=True)
    accuracy.shipped_errors.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        explore(models, output=folder, workers=workers)
        table = ErrorTable(Path(folder) / "errors.csv")
        table.path = home
        table.save()
    accuracy.shipped_errors.cache_clear()
    return home


if __name__ == "__main__":
    main()
