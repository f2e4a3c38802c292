"""Predicted size of a weight matrix in each storage format, in bits.

Written apart from the encoders in models/codecs on purpose; a test holds the two together. With the
exact structure of real weights the prediction equals the real stream, Huffman streams too (any optimal
code has the same total length). With a density only, padding is the expectation over random masks.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.errors import InputError
from .entropy import context_bits
from .structure import WeightStructure, random_blocks, random_n_of_m, random_structure

__all__ = [
    "FormatSize",
    "bitmask_bits",
    "csr_bits",
    "dense_bits",
    "expected_relative_pads",
    "format_names",
    "format_sizes",
    "huffman_bits",
    "n_of_m_slots",
    "parse_format",
    "predict_size",
    "random_mask",
    "relative_bits",
]

EIE_ZERO_RUN_BITS = 4
EIE_CODE_BITS = 4
EIE_POINTER_BITS = 16
EIE_N_PE = 64
RLC_RUN_BITS = 5
RLC_PAIRS = 3


@dataclass(frozen=True)
class FormatSize:
    """Bits by section. `pads` counts padding entries, whose bits are inside values and indices."""

    values_bits: float
    indices_bits: float = 0
    pointers_bits: float = 0
    tables_bits: float = 0
    pads: float = 0

    @property
    def total_bits(self) -> float:
        return self.values_bits + self.indices_bits + self.pointers_bits + self.tables_bits


def _width(largest: int) -> int:
    """Bits that hold 0..largest, at least 1."""
    return max(1, int(largest).bit_length())


def dense_bits(elements: ArrayLike, value_bits: ArrayLike) -> NDArray[np.float64]:
    """elements x value_bits.

    >>> float(dense_bits(100, 8))
    800.0
    """
    return np.asarray(elements, float) * np.asarray(value_bits, float)


def bitmask_bits(elements: ArrayLike, nonzeros: ArrayLike, value_bits: ArrayLike) -> NDArray[np.float64]:
    """One bit per element, then the non-zero values.

    >>> float(bitmask_bits(100, 10, 8))
    180.0
    """
    return np.asarray(elements, float) + np.asarray(nonzeros, float) * np.asarray(value_bits, float)


def csr_bits(
    rows: ArrayLike, nonzeros: ArrayLike, value_bits: ArrayLike, index_bits: ArrayLike, pointer_bits: ArrayLike
) -> NDArray[np.float64]:
    """Compressed sparse rows: nonzeros x (value + column index) + (rows + 1) x row pointer.

    >>> float(csr_bits(10, 20, 32, 32, 32))
    1632.0
    """
    each = np.asarray(value_bits, float) + np.asarray(index_bits, float)
    return np.asarray(nonzeros, float) * each + (np.asarray(rows, float) + 1.0) * np.asarray(pointer_bits, float)


def relative_bits(
    nonzeros: ArrayLike, pads: ArrayLike, value_bits: ArrayLike, index_bits: ArrayLike
) -> NDArray[np.float64]:
    """(nonzeros + padding entries) x (value + gap): Han et al., ICLR 2016, section 2.

    >>> float(relative_bits(100, 5, 6, 5))
    1155.0
    """
    return (np.asarray(nonzeros, float) + np.asarray(pads, float)) * (
        np.asarray(value_bits, float) + np.asarray(index_bits, float)
    )


def expected_relative_pads(elements: ArrayLike, nonzeros: ArrayLike, index_bits: int) -> NDArray[np.float64]:
    """Padding entries expected for a uniform random mask: nonzeros q^(2^b) / (1 - q^(2^b)), q = 1 - density.

    Zero runs of a random mask are geometric, so floor(run / 2^b) has this mean.

    >>> round(float(expected_relative_pads(235200, 18816, 5)))
    1403
    """
    elements, nonzeros = np.asarray(elements, float), np.asarray(nonzeros, float)
    long_run = (1 - nonzeros / elements) ** (2.0**index_bits)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nonzeros > 0, nonzeros * long_run / (1 - long_run), 0.0)


def huffman_bits(histogram: NDArray[np.int64]) -> int:
    """Total length of an optimal prefix code over `histogram`, table excluded.

    The sum of all merged weights of Huffman's construction (1952); a lone symbol costs one bit each.
    Between n H and n (H + p1 + 0.086) for entropy H and a most frequent symbol of probability p1
    (Gallager, IEEE Trans. Inf. Theory 24, 1978).

    >>> huffman_bits(np.array([5, 2, 1, 1]))
    15
    """
    heap = [int(count) for count in histogram if count > 0]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, merged)
        total += merged
    return total


SIZED = re.compile(r"(nm|block)([1-9]\d?)([:x])([1-9]\d?)")
LARGEST = {"nm": 16, "block": 64}
REGENERATED = re.compile(r"(expander[1-9]\d{0,6}@\d{1,10}|hashed@\d{1,10}|sign)(\+huffman)?")


def format_names() -> list[str]:
    """Every storage format by name; `relative{b}` for b from 1 to 16, `nm{n}:{m}`, `block{r}x{c}`, some `+huffman`."""
    return ["dense", "bitmask", "csr", "csc", "coo", "rlc", "relative4", "relative5", "relative8", "relative5+huffman",
            "eie_csc4", "context", "nm1:4", "nm2:4", "block4x4"]  # fmt: skip


def format_sizes(name: str) -> tuple[str, int, int] | None:
    """(nm or block, first size, second size) of a format that has two sizes, else None.

    >>> format_sizes("nm2:4"), format_sizes("block8x1"), format_sizes("csr")
    (('nm', 2, 4), ('block', 8, 1), None)
    """
    match = SIZED.fullmatch(name)
    if not match or (match[1] == "nm") != (match[3] == ":"):
        return None
    first, second = int(match[2]), int(match[4])
    bad = first >= second if match[1] == "nm" else first > LARGEST["block"]
    return None if bad or second > LARGEST[match[1]] else (match[1], first, second)


def parse_format(name: str) -> tuple[str, int, bool]:
    """(family, index bits, entropy coded?) of a format's name; formats with two numbers are their own family.

    >>> parse_format("relative5+huffman"), parse_format("nm2:4")
    (('relative', 5, True), ('nm2:4', 0, False))
    """
    if format_sizes(name):
        return name, 0, False
    match = REGENERATED.fullmatch(name)
    if match and (not match[2] or match[1].startswith("expander")):
        return match[1], 0, bool(match[2])
    match = re.fullmatch(r"(dense|bitmask|csr|csc|coo|rlc|eie_csc4|context|relative([1-9]|1[0-6]))(\+huffman)?", name)
    if not match or (match[3] and match[1] in ("csr", "csc", "coo", "rlc", "eie_csc4", "context")):
        raise InputError("--format", name, f"one of {', '.join(format_names())} (relative1 to relative16, nmN:M up to "
                         "M = 16, blockRxC up to 64x64; dense, bitmask and relative also with +huffman)")  # fmt: skip
    coded = bool(match[3]) or match[1] == "context"
    return ("relative", int(match[2]), coded) if match[2] else (match[1], 0, coded)


def _huffman_size(structure: WeightStructure, value_bits: int, index_bits: int, pads: int) -> FormatSize:
    codes = structure.code_histogram
    if codes is None:
        values, value_table = (structure.nonzeros + pads) * float(value_bits), 0.0
    else:
        with_pads = codes.copy()
        with_pads[0] += pads
        values, value_table = float(huffman_bits(with_pads)), table_bits(len(with_pads))
    gaps = structure.relative_symbols(index_bits)
    indices = float(huffman_bits(gaps))
    return FormatSize(values, indices, 0, value_table + table_bits(len(gaps)), pads)


def _coded_size(structure: WeightStructure, value_bits: int, family: str) -> FormatSize:
    """Every code, or those of the non-zeros behind a bitmask, as one Huffman stream."""
    mask = float(structure.elements) if family == "bitmask" else 0.0
    codes = structure.code_histogram
    count = structure.nonzeros if family == "bitmask" else structure.elements
    if codes is None:
        return FormatSize(count * float(value_bits), mask)
    counted = codes.copy()
    counted[0] = 0 if family == "bitmask" else structure.elements - structure.nonzeros
    return FormatSize(float(huffman_bits(counted)), mask, 0, table_bits(len(counted)))


def table_bits(symbols: int) -> float:
    """A canonical Huffman table is its code lengths: 5 bits a symbol (docs/pico-format.md)."""
    return 5.0 * symbols


def n_of_m_slots(rows: int, columns: int, kernel: int, n: int, m: int) -> int:
    """Values that `nm{n}:{m}` stores: n for every m input channels, rounded up, of every output and kernel element.

    >>> n_of_m_slots(8, 27, 9, 2, 4)   # 3 channels of 3 x 3: one group each
    144
    """
    return rows * kernel * -(-(columns // kernel) // m) * n


def _other_size(family: str, structure: WeightStructure, value_bits: int) -> FormatSize:
    """Columns, coordinates, run-length words, n of m, blocks."""
    count, rows, columns = structure.nonzeros, structure.rows, structure.columns
    if family == "csc":
        return FormatSize(count * float(value_bits), count * float(_width(rows - 1)), (columns + 1.0) * _width(count))
    if family == "coo":
        return FormatSize(count * float(value_bits), count * float(_width(rows - 1) + _width(columns - 1)))
    if family == "rlc":
        pads = structure.relative_pads(RLC_RUN_BITS)
        words = -(-(count + pads) // RLC_PAIRS)
        total = words * (RLC_PAIRS * (RLC_RUN_BITS + value_bits) + 1.0)
        return FormatSize((count + pads) * float(value_bits), total - (count + pads) * float(value_bits), 0, 0, pads)
    sizes = format_sizes(family)
    assert sizes is not None
    kind, first, second = sizes
    if kind == "nm":
        _check_n_of_m(structure, first, second)
        slots = n_of_m_slots(rows, columns, structure.kernel, first, second)
        return FormatSize(slots * float(value_bits), slots * float(_width(second - 1)), 0, 0, slots - count)
    blocks = structure.blocks(first, second)
    high, wide = -(-rows // first), -(-columns // second)
    stored = blocks * first * second
    pointers = (high + 1.0) * _width(blocks)
    return FormatSize(stored * float(value_bits), blocks * float(_width(wide - 1)), pointers, 0, stored - count)


def _expander_size(structure: WeightStructure, value_bits: int, degree: int, huffman: bool) -> FormatSize:
    """A value for every weight of the graph, zeros among them counted as padding; no index (see models/patterns.py)."""
    existing = structure.rows * degree * structure.kernel
    zeros = existing - structure.nonzeros
    if zeros < 0 or degree * structure.kernel > structure.columns:
        raise InputError("--format expander", f"{structure.nonzeros} weights", f"at most {existing}, in its own graph",
                         "it is made by training: see the recipe stage [expander]")  # fmt: skip
    if not huffman:
        return FormatSize(existing * float(value_bits), pads=zeros)
    codes = structure.code_histogram
    values = existing * float(value_bits)
    if codes is not None:
        values = float(huffman_bits(np.concatenate(([zeros], codes[1:]))))
    return FormatSize(values, tables_bits=table_bits(len(codes) if codes is not None else 2**value_bits), pads=zeros)


def _check_n_of_m(structure: WeightStructure, n: int, m: int) -> None:
    most = structure.largest_group(m)
    if most > n:
        raise InputError(f"--format nm{n}:{m}", f"{most} weights among {m} neighbours",
                         f"at most {n} of every {m} along the input channels",
                         f'prune with the method "{n}:{m}" first, or choose another format')  # fmt: skip


def predict_size(name: str, structure: WeightStructure, value_bits: int) -> FormatSize:
    """Predicted bits of one layer's weights in format `name`, codebook and biases not included."""
    family, index_bits, huffman = parse_format(name)
    count = structure.nonzeros
    if huffman and family in ("dense", "bitmask"):
        return _coded_size(structure, value_bits, family)
    if family == "dense":
        return FormatSize(float(dense_bits(structure.elements, value_bits)))
    if family == "bitmask":
        return FormatSize(count * float(value_bits), float(structure.elements))
    if family == "csr":
        column, pointer = _width(structure.columns - 1), _width(count)
        return FormatSize(count * float(value_bits), count * float(column), (structure.rows + 1.0) * pointer)
    if family == "context":
        return FormatSize(*context_bits(structure, value_bits))
    if family == "eie_csc4":
        entries = int(structure.interleaved_entries(EIE_N_PE, EIE_ZERO_RUN_BITS).sum())
        pointers = EIE_N_PE * (structure.columns + 1.0) * EIE_POINTER_BITS
        return FormatSize(
            entries * float(EIE_CODE_BITS), entries * float(EIE_ZERO_RUN_BITS), pointers, 0, entries - count
        )
    if family.startswith(("sign", "hashed")):
        bits = float(structure.elements) if family == "sign" else 0.0
        if structure.nonzeros < structure.elements:
            raise InputError(f"--format {family}", "a layer with zeros", "one without: it is made by training",
                             "see the recipe stages [sketch] and [quantize]")  # fmt: skip
        return FormatSize(bits)
    if family.startswith("expander"):
        return _expander_size(structure, value_bits, int(family.removeprefix("expander").partition("@")[0]), huffman)
    if family in ("csc", "coo", "rlc") or format_sizes(family):
        return _other_size(family, structure, value_bits)
    pads = structure.relative_pads(index_bits)
    if huffman:
        return _huffman_size(structure, value_bits, index_bits, pads)
    return FormatSize((count + pads) * float(value_bits), (count + pads) * float(index_bits), 0, 0, pads)


def random_mask(rows: int, columns: int, nonzeros: int, seed: int, storage: str, kernel: int = 1) -> WeightStructure:
    """A uniform random mask; in the groups of a storage n of m, in whole blocks of a storage by blocks.

    Raises InputError where there is no room.

    >>> random_mask(4, 8, 16, 1, "nm2:4").largest_group(4)
    2
    """
    sizes = format_sizes(storage)
    if sizes and sizes[0] == "nm":
        return random_n_of_m(rows, columns, nonzeros, seed, *sizes[1:], kernel)
    if sizes:
        return random_blocks(rows, columns, nonzeros, seed, *sizes[1:], kernel)
    return random_structure(rows, columns, nonzeros, seed)
