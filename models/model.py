"""A network together with what is known of its weights: shared codes, accuracy, where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .codebooks import CODEBOOK_KINDS, codebook_bits, pack_codebook, scaled_values, scales_shape, unpack_codebook
from .errors import GraphError
from .graph import Graph

__all__ = ["Accuracy", "CodedTensor", "LedgerRow", "Model"]


@dataclass(frozen=True)
class Accuracy:
    """Classification error in percent of `n` samples of one split of one data set."""

    error_pct: float
    dataset: str
    n: int
    split: str
    status: str = "measured"


@dataclass(frozen=True, eq=False)
class CodedTensor:
    """A weight tensor as codes into a codebook. Code 0 always stands for the value 0 (a pruned weight).

    `codes`: unsigned, of the tensor's shape, each below `len(codebook)`.
    `codebook`: float32, `codebook[0] == 0`, at most `2 ** code_bits` entries (one more in "sign", which has no zero).
    `encoding`: how the codes lie in a file, for example "relative5+huffman".
    `codebook_dtype`: how the codebook lies there, see `codebooks` (it must be of that kind).
    `scales`: float32 by output (the first axis) for the channel kinds, of the shape that `scales_shape` says.

    >>> t = CodedTensor(np.array([[0, 1]], np.uint16), np.array([0, 0.5], np.float32), 1, "dense")
    >>> t.values.tolist()
    [[0.0, 0.5]]
    """

    codes: NDArray[np.uint16]
    codebook: NDArray[np.float32]
    code_bits: int
    encoding: str
    codebook_dtype: str = "float32"
    scales: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        most = 2**self.code_bits + (self.encoding == "sign")
        if not 1 <= self.code_bits <= 16 or not 1 <= len(self.codebook) <= most:
            raise GraphError("codebook", f"{len(self.codebook)} entries", f"1 to 2^{self.code_bits}")
        if self.codebook[0] != 0 or not np.isfinite(self.codebook).all():
            raise GraphError("codebook", self.codebook[:1], "finite values, the first of them 0")
        self._check_kind()
        if self.codes.size and int(self.codes.max()) >= len(self.codebook):
            raise GraphError("codes", int(self.codes.max()), f"codes below {len(self.codebook)}")

    def _check_kind(self) -> None:
        kind, rows = self.codebook_dtype, self.shape[0] if self.shape else 1
        if kind not in CODEBOOK_KINDS:
            raise GraphError("codebook_dtype", kind, f"one of {', '.join(CODEBOOK_KINDS)}")
        if (None if self.scales is None else self.scales.shape) != scales_shape(kind, rows):
            raise GraphError("scales", "another number", f"{scales_shape(kind, rows) or 'none'} for {kind}")
        try:
            kept, scales = unpack_codebook(kind, pack_codebook(kind, self.codebook, self.scales), len(self.codebook))
        except ValueError as error:
            raise GraphError("codebook", error, f"values that {kind} can hold") from error
        same = scales is None or self.scales is None or np.array_equal(scales, self.scales)
        if not same or not np.array_equal(kept, self.codebook):
            raise GraphError("codebook", f"values that {kind} cannot hold", f"values rounded to {kind}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def values(self) -> NDArray[np.float32]:
        return scaled_values(self.codebook_dtype, self.codebook, self.codes, self.scales)

    @property
    def codebook_bits(self) -> int:
        """What the codebook takes in a file, scales included."""
        return codebook_bits(self.codebook_dtype, len(self.codebook), self.shape[0] if self.shape else 1)

    @property
    def nonzeros(self) -> int:
        return int(np.count_nonzero(self.codes))


@dataclass(frozen=True)
class LedgerRow:
    """Bytes of one kind in a `.pico` file; the rows of a file sum to its size."""

    tensor: str
    section: str
    bytes: int
    entries: int = 0


@dataclass(frozen=True, eq=False)
class Model:
    """What a MODEL string stands for: a graph, and what is known of its weights.

    `coded` holds the shared weights by parameter name (empty for a dense network).
    `activation_density` is the fraction of non-zero inputs, by node name; `activation_basis` says whether it was
    measured or is published.
    `provenance` records how the weights were made (command, seed, recipe, versions).
    `ledger` and `file_bytes` are set when the model was read from a `.pico` file.
    """

    name: str
    graph: Graph
    coded: Mapping[str, CodedTensor] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    activation_density: Mapping[str, float] = field(default_factory=dict)
    activation_basis: str = "measured"
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    ledger: tuple[LedgerRow, ...] = ()
    file_bytes: int | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "coded", MappingProxyType(dict(self.coded)))
        object.__setattr__(self, "activation_density", MappingProxyType(dict(self.activation_density)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        for name, tensor in self.coded.items():
            if name not in self.graph.parameters or self.graph.parameters[name].shape != tensor.shape:
                raise GraphError(f"tensor {name}", tensor.shape, f"a parameter of {self.graph.name} of that shape")
