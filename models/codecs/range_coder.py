"""Binary decisions with given probabilities as bytes, and what they cost: one interface for both directions.

A model runs the same code to write, to read and to measure; only the coder differs. Probabilities are whole numbers
over 2^20, so that a reader on any machine has exactly the writer's: as float64 they are exact, and so is their product
with the coder's own 2^24. The range coder is constriction's (Bamler, 2022; extra `[ans]`), a queue of 32-bit words.
"""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from .checks import damaged

__all__ = ["SCALE", "SCALE_BITS", "Coder", "Meter", "Reader", "Writer"]

SCALE_BITS = 20
SCALE = 1 << SCALE_BITS
LEAST = 16  # the least probability of either value, over SCALE

Bits = NDArray[np.bool_]
Probabilities = NDArray[np.int64]


class Coder(Protocol):
    """`code` passes decisions [n] with the probabilities [n] of a 1, and returns them as a reader will see them.

    `bits` is what all of them cost so far by their probabilities: the sum of -log2 p.
    """

    @property
    def bits(self) -> float: ...

    def code(self, bits: Bits, ones: Probabilities) -> Bits: ...


def _constriction(what: str) -> ModuleType:
    try:
        import constriction
    except ImportError as error:
        raise MissingExtraError(what, "ans") from error
    return constriction


def _clipped(ones: Probabilities) -> NDArray[np.float64]:
    return np.clip(ones, LEAST, SCALE - LEAST) / np.float64(SCALE)


def _cost(bits: Bits, probability: NDArray[np.float64]) -> float:
    return -float(np.log2(np.where(bits, probability, 1 - probability)).sum())


class Writer:
    """Encodes; `finish` gives the bytes, without the zero bytes at the end that `Reader` puts back."""

    def __init__(self, where: str = "encoding context") -> None:
        stream = _constriction(where).stream
        self._encoder, self._model = stream.queue.RangeEncoder(), stream.model.Bernoulli(perfect=False)
        self.bits = 0.0

    def code(self, bits: Bits, ones: Probabilities) -> Bits:
        if len(bits):
            probability = _clipped(ones)
            self._encoder.encode(bits.astype(np.int32), self._model, probability)
            self.bits += _cost(bits, probability)
        return bits

    def finish(self) -> bytes:
        return self._encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Reader:
    """Decodes; what it is given as `bits` only says how many. Bytes that no writer made raise FileFormatError.

    It writes what it reads a second time: `finish` refuses bytes that are not exactly a writer's.
    """

    def __init__(self, data: bytes, where: str) -> None:
        stream = _constriction(where).stream
        words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").astype(np.uint32)
        self._data, self._where, self._echo = data, where, Writer(where)
        self._decoder, self._model = stream.queue.RangeDecoder(words), stream.model.Bernoulli(perfect=False)

    def code(self, bits: Bits, ones: Probabilities) -> Bits:
        if not len(bits):
            return bits
        try:
            got = self._decoder.decode(self._model, _clipped(ones)).astype(bool)
        except (AssertionError, ValueError) as error:
            raise damaged(self._where, "bytes that stand for nothing", "a range coder's") from error
        return self._echo.code(got, ones)

    @property
    def bits(self) -> float:
        return self._echo.bits

    def finish(self) -> None:
        if self._echo.finish() != self._data:
            raise damaged(self._where, f"{len(self._data)} bytes that decode to others", "a range coder's")


class Meter:
    """Counts the bits that a range coder needs, without writing anything.

    >>> meter = Meter()
    >>> _ = meter.code(np.array([True, False]), np.array([SCALE // 4, SCALE // 2]))
    >>> meter.bits
    3.0
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, bits: Bits, ones: Probabilities) -> Bits:
        self.bits += _cost(bits, _clipped(ones))
        return bits
