"""Tables 2 to 5 of *Deep Compression* computed here, from real streams of the real codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..codecs import encode
from ..codecs.base import Encoded
from ..compress.prune import magnitude_mask, weight_names
from ..compress.share import share_weights
from ..model import CodedTensor, Model
from .published import VALUE_BITS, PaperNetwork

__all__ = ["LayerFigures", "figures_of_model", "figures_of_weights", "layer_figures", "total_figures"]

Weights = NDArray[np.float32]
PROBABLE = 5.0  # percent: a rate this near to the printed one is called reproduced


@dataclass(frozen=True)
class LayerFigures:
    """What the paper's tables say of a layer, here as numbers: bits are per stored entry, padding entries included.

    `shared_bits` and `huffman_bits` are whole streams: codes, indices, code tables and the codebook's entries used;
    biases are not in the paper's tables. `codebook_entries` counts those used, `code_bits` how many there could be.
    """

    layer: str
    weights: int
    nonzeros: int
    entries: int
    code_bits: float
    code_bits_huffman: float
    index_bits: float
    index_bits_huffman: float
    codebook_entries: int
    shared_bits: int
    huffman_bits: int

    @property
    def density_pct(self) -> float:
        return 100 * self.nonzeros / self.weights

    @property
    def entries_pct(self) -> float:
        return 100 * self.entries / self.weights

    @property
    def rate_shared_pct(self) -> float:
        """Bits after pruning and sharing over 32 bits a weight."""
        return 100 * self.shared_bits / (VALUE_BITS * self.weights)

    @property
    def rate_huffman_pct(self) -> float:
        return 100 * self.huffman_bits / (VALUE_BITS * self.weights)


def _stream_bits(encoded: Encoded, section: str) -> float:
    """Mean bits of an entry's code or gap, from the length of its stream."""
    return 8 * len(encoded.sections[section]) / max(1, encoded.entries)


def layer_figures(layer: str, tensor: CodedTensor, index_bits: int) -> LayerFigures:
    """Encode a tensor twice, at fixed widths and Huffman coded, and read the figures off the bytes.

    By hand: codes 1, 2, then 30 zeros, 1 are 3 entries of 2 + 5 bits without padding.

    >>> codes = np.array([[1, 2, *[0] * 30, 1]], np.uint16)
    >>> f = layer_figures("fc", CodedTensor(codes, np.array([0, 1, 2], np.float32), 2, "dense"), 5)
    >>> f.entries, f.nonzeros, f.code_bits, f.index_bits
    (3, 3, 2, 5)
    """
    fixed = encode(replace(tensor, encoding=f"relative{index_bits}"))
    coded = encode(replace(tensor, encoding=f"relative{index_bits}+huffman"))
    return LayerFigures(
        layer, tensor.codes.size, tensor.nonzeros, fixed.entries, tensor.code_bits, _stream_bits(coded, "codes"),
        index_bits, _stream_bits(coded, "gaps"), len(tensor.codebook) - 1, _bits(fixed), _bits(coded),
    )  # fmt: skip


def _bits(encoded: Encoded) -> int:
    return 8 * sum(len(section) for section in encoded.sections.values())


def total_figures(rows: Iterable[LayerFigures]) -> LayerFigures:
    """The row of totals: sums, and bits per entry averaged over all entries.

    >>> one = LayerFigures("a", 10, 4, 4, 6, 4.0, 5, 3.0, 2, 100, 90)
    >>> total_figures([one, replace(one, entries=12, code_bits_huffman=2.0)]).code_bits_huffman
    2.5
    """
    rows = list(rows)
    entries = sum(row.entries for row in rows)

    def mean(column: str) -> float:
        return sum(getattr(row, column) * row.entries for row in rows) / max(1, entries)

    def total(column: str) -> int:
        return sum(getattr(row, column) for row in rows)

    return LayerFigures(
        "Total", total("weights"), total("nonzeros"), entries, mean("code_bits"), mean("code_bits_huffman"),
        mean("index_bits"), mean("index_bits_huffman"), total("codebook_entries"), total("shared_bits"),
        total("huffman_bits"),
    )  # fmt: skip


def figures_of_model(model: Model, index_bits: Mapping[str, int]) -> list[LayerFigures]:
    """Rows of a model with shared weights, and their total."""
    names = weight_names(model.graph)
    rows = [layer_figures(layer, model.coded[name], index_bits[layer]) for layer, name in names.items()]
    return [*rows, total_figures(rows)]


def figures_of_weights(
    paper: PaperNetwork, read: Callable[[str], Weights], done: Callable[[str], None] = lambda layer: None
) -> Iterator[LayerFigures]:
    """Rows of any weights pruned, shared and indexed as the paper's table says, one layer in memory at a time.

    `read(layer)` gives a layer's weights, float32; `done(layer)` hears of each. The total comes last.
    """
    rows = []
    for row in paper.layers:
        weights = read(row.layer)
        kept = magnitude_mask(weights, float(row.density_pct) / 100, where=f"layer {row.layer}")
        weights = np.where(kept, weights, np.float32(0))
        tensor = share_weights(weights, int(row.weight_bits), where=f"layer {row.layer}")
        del weights, kept
        rows.append(layer_figures(row.layer, tensor, int(row.index_bits)))
        done(row.layer)
        yield rows[-1]
    yield total_figures(rows)
