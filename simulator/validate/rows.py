"""One row per comparison, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Validation", "ValidationRow", "error_of"]


def error_of(predicted: float, measured: float) -> float:
    """max(p / m, m / p) - 1, so that guessing low is not rewarded.

    >>> error_of(50, 100), error_of(200, 100)
    (1.0, 1.0)
    """
    return max(predicted / measured, measured / predicted) - 1


@dataclass(frozen=True)
class ValidationRow:
    """One published figure beside its prediction.

    `mode`: "datasheet" where no measurement of the target entered the prediction, "calibrated" where some
    did; then `left_out` names what was left out of the fit for this row and `in_fit` says whether the
    row's own measurement was in. `status` is the measurement's: published, derived, or recalled
    (from memory, not confirmed in the source's text).
    """

    target: str
    metric: str
    unit: str
    case: str
    measured: float
    predicted: float
    mode: str
    protocol: str
    left_out: str
    in_fit: bool
    status: str
    source: str

    @property
    def error(self) -> float:
        return error_of(self.predicted, self.measured)


@dataclass(frozen=True)
class Validation:
    """All rows; `document`, `frame` and `text` say the same in JSON, a DataFrame and plain text."""

    rows: tuple[ValidationRow, ...]
    goals: tuple[dict[str, Any], ...] = ()

    def summary(self) -> list[dict[str, Any]]:
        """Errors by target and metric: n, median, 90th percentile, worst, how many within 10 and 15 %."""
        groups: dict[tuple[str, str, str], list[float]] = {}
        for row in self.rows:
            groups.setdefault((row.target, row.metric, row.mode), []).append(row.error)
        return [
            {"target": target, "metric": metric, "mode": mode, **_spread(errors)}
            for (target, metric, mode), errors in groups.items()
        ]

    def document(self) -> dict[str, Any]:
        """`picojoule validate --json`; `goals` are there where all targets are."""
        rows = [asdict(row) | {"error": row.error} for row in self.rows]
        return {"schema": 1, "rows": rows, "summary": self.summary(), "goals": list(self.goals)}

    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.document()["rows"])

    def text(self, rows: bool = True) -> str:
        """The rows, if asked for, the summary and the goals as plain text."""
        lines = []
        for row in self.rows if rows else ():
            lines.append(
                f"  {row.target:14s} {row.metric:28s} {row.case:60s} {row.measured:12.5g} {row.predicted:12.5g} "
                f"{row.unit:4s} {row.error:7.1%}  {row.mode}"
            )
        if lines:
            head = f"  {'target':14s} {'metric':28s} {'case':60s} {'measured':>12s} {'predicted':>12s} unit   error"
            lines = [head, *lines, ""]
        return "\n".join([*lines, *_summary_lines(self.summary()), *_goal_lines(self.goals)])


def _spread(errors: Sequence[float]) -> dict[str, Any]:
    values = np.array(errors)
    return {
        "n": len(values),
        "median": float(np.median(values)),
        "p90": float(np.quantile(values, 0.9)),
        "worst": float(values.max()),
        "within_10_pct": int((values <= 0.10).sum()),
        "within_15_pct": int((values <= 0.15).sum()),
    }


def _goal_lines(goals: Sequence[dict[str, Any]]) -> list[str]:
    if not goals:
        return []
    head = f"  {'goal':58s}    n   median  (goal)      p90  (goal)"
    return ["", head, *(
        f"  {g['goal']:58s} {g['n']:4d}  {g['median']:7.1%} ({g['median_goal']:5.0%})  {g['p90']:7.1%}"
        f" ({g['p90_goal']:5.0%})"
        f"  {'reached' if g['reached'] else 'missed'}"
        for g in goals
    )]  # fmt: skip


def _summary_lines(summary: Sequence[dict[str, Any]]) -> list[str]:
    head = f"  {'target':23s} {'metric':28s} {'mode':10s}    n   median      p90    worst  <=10%  <=15%"
    return [
        head,
        *(
            f"  {s['target']:23s} {s['metric']:28s} {s['mode']:10s} {s['n']:4d}  {s['median']:7.1%}  {s['p90']:7.1%}"
            f"  {s['worst']:7.1%}  {s['within_10_pct']:5d}  {s['within_15_pct']:5d}"
            for s in summary
        ),
    ]
