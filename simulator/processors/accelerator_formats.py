"""Weights and activations that lie compressed at a level of an accelerator: bits, index bits, decoding.

What a format takes in each level is a share of the dense words. Weights: the predicted size of the real mask
(simulator/formats.py). Activations: the expectation at their density, for the formats that need no row
(run length, bitmask, relative). Where coding is longer than the dense words these are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.errors import InputError
from ..accelerator import OPERANDS, AcceleratorTarget, Sparse
from ..formats import RLC_PAIRS, RLC_RUN_BITS, expected_relative_pads, parse_format, predict_size
from ..structure import WeightStructure

__all__ = ["StoredWords", "activation_share", "stored_words", "weight_share"]

Array = NDArray[np.float64]
MEAN_OVER = 1e6
WEIGHT, INPUT, OUTPUT = 0, 1, 2


@dataclass(frozen=True)
class Share:
    """Of one dense word: bits stored over dense bits, those of them that are indices, symbols to decode."""

    bits: float = 1.0
    index: float = 0.0
    symbols: float = 0.0


@dataclass(frozen=True, eq=False)
class StoredWords:
    """[level, operand]: stored over dense bits; pJ of index bits and of decoding for each dense word moved."""

    ratio: Array
    extra_pj: Array


def activation_share(name: str, density: float, value_bits: float) -> Share:
    """Expected share of activations of a density at random places.

    >>> activation_share("bitmask", 0.25, 8)
    Share(bits=0.375, index=0.125, symbols=0.25)
    """
    family, index_bits, _ = parse_format(name)
    if family == "rlc":
        entries = density + float(expected_relative_pads(MEAN_OVER, MEAN_OVER * density, RLC_RUN_BITS)) / MEAN_OVER
        index = (RLC_RUN_BITS + 1 / RLC_PAIRS) / value_bits
        found = Share(entries * (1 + index), entries * index, entries)
    elif family == "bitmask":
        found = Share(density + 1 / value_bits, 1 / value_bits, density)
    else:
        pads = float(expected_relative_pads(MEAN_OVER, MEAN_OVER * density, index_bits)) / MEAN_OVER
        entries = density + pads
        found = Share(entries * (1 + index_bits / value_bits), entries * index_bits / value_bits, entries)
    return found if found.bits < 1 else Share()


def weight_share(name: str, structure: WeightStructure, value_bits: float) -> Share:
    """Predicted share of one layer's real mask; dense where the format does not take it or is longer.

    >>> weight_share("bitmask", WeightStructure(2, 8, np.array([0, 5, 9, 12]), "exact"), 8)
    Share(bits=0.375, index=0.125, symbols=0.25)
    """
    try:
        size = predict_size(name, structure, round(value_bits))
    except InputError:  # another pattern than the format's
        return Share()
    dense = structure.elements * value_bits
    if not dense or size.total_bits >= dense:
        return Share()
    index = (size.indices_bits + size.pointers_bits + size.tables_bits) / dense
    return Share(size.total_bits / dense, index, (structure.nonzeros + size.pads) / structure.elements)


def stored_words(
    target: AcceleratorTarget,
    make: Callable[[], WeightStructure] | None,
    densities: tuple[float, float],
    word_bits: Array,
    energy: str,
) -> StoredWords:
    """What the formats make of words of `word_bits[level, operand]`; outputs are coded in the outermost level alone."""
    ratio, extra = np.ones_like(word_bits), np.zeros_like(word_bits)
    for feature in target.sparse:
        if feature.format == "dense":
            continue
        for place in (i for i, level in enumerate(target.levels) if level.name in feature.levels):
            if feature.operand == "weight":
                found = {WEIGHT: weight_share(feature.format, make(), word_bits[place, WEIGHT])} if make else {}
            else:
                coded = (INPUT, OUTPUT) if place == 0 else (INPUT,)
                found = {o: activation_share(feature.format, d, word_bits[place, o])
                         for o, d in zip(coded, densities, strict=False)}  # fmt: skip
            for operand, share in found.items():
                ratio[place, operand] = share.bits
                extra[place, operand] = _extra_pj(feature, share, word_bits[place, operand], energy)
    assert ratio.shape == (len(target.levels), len(OPERANDS))
    return StoredWords(ratio, extra)


def _extra_pj(feature: Sparse, share: Share, word_bits: float, energy: str) -> float:
    index, decode = feature.metadata_pj_per_bit, feature.decode_pj_per_symbol
    total = share.index * word_bits * index.at(energy) if index else 0.0
    return total + (share.symbols * decode.at(energy) if decode else 0.0)
