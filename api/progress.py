"""Progress bars on standard error."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["StageBar"]


class StageBar:
    """One tqdm bar per stage, on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, step: int, total: int) -> None:
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            seconds = 0.2 if sys.stderr.isatty() else 10.0  # a log file needs no more
            self._bar = tqdm(
                total=total, desc=stage, file=sys.stderr, unit="step", dynamic_ncols=True,
                mininterval=seconds, miniters=1,
            )  # fmt: skip
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
