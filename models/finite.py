"""NaN and infinity are refused by the name of the layer that has them, before anything is computed from them."""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .graph import Graph

__all__ = ["check_finite_parameters"]


def check_finite_parameters(graph: Graph) -> None:
    """Raise InputError for the first parameter with a value that is NaN or infinite; unknown values pass.

    >>> from .build import GraphBuilder
    >>> b = GraphBuilder("tiny", (1, 2)); _ = b.gemm("fc", 1, bias=False)
    >>> check_finite_parameters(b.build().with_parameters({"fc.weight": np.array([[1, np.nan]], np.float32)}))
    Traceback (most recent call last):
    picojoule.models.errors.InputError: layer fc: parameter fc.weight: got 1 of 2 values NaN or infinite, wanted ...
    """
    users = {name: node.name for node in reversed(list(graph)) for name in node.parameters.values()}
    for name, parameter in graph.parameters.items():
        values = parameter.values
        if values is None or np.isfinite(values).all():
            continue
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        where = f"layer {users[name]}: parameter {name}" if name in users else f"parameter {name}"
        got = f"{bad} of {values.size} values NaN or infinite"
        raise InputError(where, got, "finite weights", "check the training")
