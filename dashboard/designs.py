"""What the browser asks for: one design, its cost, and what is known of its error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from ..models.load import load_model
from ..models.model import Model
from ..simulator.cost import Cost
from ..simulator.estimate import estimate
from ..simulator.explore.accuracy import ErrorTable, Measured, content_key, measure_errors

__all__ = ["Choice", "choice_of_design", "cost_of", "known_error", "measure", "model_of"]


@dataclass(frozen=True)
class Choice:
    """One design as the controls describe it; `storage` is "" for the format that the weights have."""

    network: str
    target: str
    bits: int
    density_pct: float
    storage: str

    @property
    def density(self) -> float:
        return round(self.density_pct / 100, 6)

    @property
    def command(self) -> str:
        """The command line that gives the same numbers."""
        words = ["picojoule estimate", self.network, "--target", self.target, "--bits", str(self.bits)]
        words += ["--density", f"{self.density:g}"]
        return " ".join([*words, "--format", self.storage] if self.storage else words)


@lru_cache(maxsize=16)
def model_of(network: str) -> Model:
    return load_model(network)


@lru_cache(maxsize=512)
def cost_of(choice: Choice) -> Cost:
    """The Cost of a design, by the same call as the command line's."""
    return estimate(
        model_of(choice.network),
        choice.target,
        bits=choice.bits,
        density=choice.density,
        format=choice.storage or None,
    )


@lru_cache(maxsize=16)
def _key(network: str) -> str:
    return content_key(model_of(network))


def known_error(choice: Choice, table: ErrorTable) -> Measured | None:
    """The validation error of these bits and this density, where it was measured."""
    accuracy = model_of(choice.network).accuracy
    if accuracy is None:
        return None
    return table.get(_key(choice.network), accuracy.dataset, "validation", choice.bits, choice.density)


def measure(choice: Choice, table: ErrorTable) -> Measured | None:
    """Measure it now (extra [run]); None where the network has no weights or no data set."""
    pair = (choice.bits, choice.density)
    return measure_errors(model_of(choice.network), [pair], "validation", table).get(pair)


def choice_of_design(points: pd.DataFrame, design: Any) -> Choice | None:
    """The controls' values for a row of the exploration."""
    found = points.loc[(points["design"] == design).to_numpy(bool)].to_dict("records")
    if not found:
        return None
    row = found[0]
    return Choice(row["network"], row["target"], int(row["bits"]), round(100 * float(row["density"]), 4), row["format"])
