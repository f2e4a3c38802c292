"""What *Deep Compression* printed, layer by layer (Han, Mao, Dally, ICLR 2016, Tables 1 to 5), and where it cannot be.

Every row of the tables carries its source and status. A printed number stands for an interval, half a unit of its last
digit to either side; two numbers contradict each other only where no values inside their intervals agree.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ..errors import InputError

__all__ = ["TABLES", "Contradiction", "Interval", "PaperLayer", "PaperNetwork", "contradictions", "paper_network"]

LAYERS, SUMMARY = "deep_compression_layers.csv", "deep_compression_summary.csv"
TABLES = {"table-2": "lenet-300-100", "table-3": "lenet-5", "table-4": "alexnet", "table-5": "vgg-16"}
VALUE_BITS = 32
SLACK_PCT = 5.0  # what a rate may be off before it contradicts its own row


@dataclass(frozen=True)
class Interval:
    """The values that a printed number stands for.

    >>> Interval.printed("12.70")
    Interval(low=12.695, high=12.705)
    """

    low: float
    high: float

    @classmethod
    def printed(cls, text: str) -> Interval:
        decimals = len(text.partition(".")[2])
        half = 0.5 * 10.0**-decimals
        return cls(round(float(text) - half, decimals + 1), round(float(text) + half, decimals + 1))


@dataclass(frozen=True)
class PaperLayer:
    """One row: `weights` exact; everything else the text printed, rates in percent of 32 bits a weight.

    `entries_pct` bounds what the index stores per weight, padding included, as a rate implies it:
    rate = entries (weight bits + index bits) / 32 + 2^weight bits / weights, the codebook being fp32.
    """

    layer: str
    weights: int
    density_pct: str
    weight_bits: str
    weight_bits_huffman: str
    index_bits: str
    index_bits_huffman: str
    rate_shared_pct: str
    rate_huffman_pct: str
    source: str
    status: str

    @property
    def codebook_pct(self) -> float:
        """Share of the dense size that an fp32 codebook of 2^bits entries takes (0 in a row of totals)."""
        return 0.0 if self.layer == "Total" else 100 * 2.0 ** float(self.weight_bits) / self.weights

    def entries_pct(self, huffman: bool) -> Interval:
        """Stored entries per 100 weights, as the rate before or after Huffman coding implies them.

        >>> ip1 = paper_network("lenet-300-100").layers[0]
        >>> [round(100 * bound) for bound in (ip1.entries_pct(False).low, ip1.entries_pct(False).high)]
        [879, 908]
        """
        rate = Interval.printed(self.rate_huffman_pct if huffman else self.rate_shared_pct)
        if huffman:
            weight, index = Interval.printed(self.weight_bits_huffman), Interval.printed(self.index_bits_huffman)
            low, high = weight.low + index.low, weight.high + index.high
        else:
            low = high = float(self.weight_bits) + float(self.index_bits)
        return Interval(
            (rate.low - self.codebook_pct) * VALUE_BITS / high, (rate.high - self.codebook_pct) * VALUE_BITS / low
        )


@dataclass(frozen=True)
class PaperNetwork:
    """A network's layers, its row of totals, and errors in percent before and after (Table 1)."""

    name: str
    layers: tuple[PaperLayer, ...]
    total: PaperLayer
    reference_error_pct: float
    error_pct: float
    size: str


@dataclass(frozen=True)
class Contradiction:
    """A printed number that other printed numbers rule out, and the arithmetic that shows it."""

    layer: str
    column: str
    printed: str
    why: str


def _rows(file: str) -> list[dict[str, str]]:
    text = resources.files(str(__package__)).joinpath(file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def paper_network(name: str) -> PaperNetwork:
    """The tables of a network by its name here ("lenet-5", "vgg-16", ...). Raises InputError for another name.

    >>> paper_network("alexnet").total.rate_huffman_pct
    '2.88'
    """
    rows = [row for row in _rows(LAYERS) if row["network"].casefold() == name]
    if not rows:
        raise InputError("network", name, f"one of {', '.join(TABLES.values())}")
    layers = tuple(_layer(row) for row in rows)
    summary = next(row for row in _rows(SUMMARY) if row["network"].casefold() == name)
    return PaperNetwork(
        name, layers[:-1], layers[-1], float(summary["ref_top1_err_pct"]), float(summary["compressed_top1_err_pct"]),
        summary["compressed_size"],
    )  # fmt: skip


def _layer(row: dict[str, str]) -> PaperLayer:
    return PaperLayer(
        row["layer"], int(row["weights_exact_derived"]), row["weights_pct_kept_P"], row["weight_bits_PQ"],
        row["weight_bits_PQH"], row["index_bits_PQ"], row["index_bits_PQH"], row["compress_rate_PQ_pct"],
        row["compress_rate_PQH_pct"], row["source"], row["status"],
    )  # fmt: skip


def contradictions(network: PaperNetwork) -> list[Contradiction]:
    """Cells that other cells of the same table rule out.

    Five tests. A Huffman code never costs more than the fixed width of the same stream. A mean over all weights lies
    between the layers' smallest and largest. A total rate is the layers' mean, weighted by their weights. The two rates
    of a row imply the same number of stored entries. No fewer entries are stored than weights are kept.

    >>> [(c.column, c.printed) for c in contradictions(paper_network("lenet-300-100"))]
    [('weight_bits_huffman', '5.1'), ('rate_shared_pct', '3.1'), ('rate_huffman_pct', '2.49')]
    """
    found: list[Contradiction] = []
    for row in network.layers:
        found += _wider_than_fixed(row)
        found += _entries_disagree(row)
        found += _too_few_entries(row)
    for column in ("weight_bits_huffman", "index_bits_huffman"):
        found += _outside_its_layers(network.layers, network.total, column)
    for column in ("rate_shared_pct", "rate_huffman_pct"):
        found += _not_the_mean(network.layers, network.total, column)
    return found


def _wider_than_fixed(row: PaperLayer) -> list[Contradiction]:
    pairs = (("weight_bits_huffman", row.weight_bits), ("index_bits_huffman", row.index_bits))
    return [
        Contradiction(row.layer, column, getattr(row, column),
                      f"a Huffman code of {fixed}-bit symbols costs at most {fixed} bits each")
        for column, fixed in pairs
        if Interval.printed(getattr(row, column)).low > float(fixed)
    ]  # fmt: skip


def _outside_its_layers(layers: Sequence[PaperLayer], total: PaperLayer, column: str) -> list[Contradiction]:
    printed = [Interval.printed(getattr(row, column)) for row in layers]
    mine = Interval.printed(getattr(total, column))
    low, high = min(p.low for p in printed), max(p.high for p in printed)
    if low <= mine.high and mine.low <= high:
        return []
    values = [float(getattr(row, column)) for row in layers]
    why = f"a mean of layers between {min(values):g} and {max(values):g}"
    return [Contradiction(total.layer, column, getattr(total, column), why)]


def _not_the_mean(layers: Sequence[PaperLayer], total: PaperLayer, column: str) -> list[Contradiction]:
    printed = [(row.weights, Interval.printed(getattr(row, column))) for row in layers]
    low, high = (sum(n * bound for n, bound in bounds) / total.weights for bounds in (
        [(n, interval.low) for n, interval in printed], [(n, interval.high) for n, interval in printed]))  # fmt: skip
    mine = Interval.printed(getattr(total, column))
    if low <= mine.high and mine.low <= high:
        return []
    why = f"the layers' rates, weighted by their weights, come to {low:.3g} to {high:.3g}"
    return [Contradiction(total.layer, column, getattr(total, column), why)]


def _entries_disagree(row: PaperLayer) -> list[Contradiction]:
    shared, huffman = row.entries_pct(False), row.entries_pct(True)
    slack = 1 + SLACK_PCT / 100
    if shared.low <= huffman.high * slack and huffman.low <= shared.high * slack:
        return []
    why = (
        f"P+Q {row.rate_shared_pct} % at {row.weight_bits} + {row.index_bits} bits means {shared.low:.3g} to "
        f"{shared.high:.3g} entries per 100 weights, P+Q+H at {row.weight_bits_huffman} + {row.index_bits_huffman} "
        f"bits means {huffman.low:.3g} to {huffman.high:.3g}"
    )
    return [Contradiction(row.layer, "rate_huffman_pct", row.rate_huffman_pct, why)]


def _too_few_entries(row: PaperLayer) -> list[Contradiction]:
    kept = Interval.printed(row.density_pct)
    found = []
    for column, huffman in (("rate_shared_pct", False), ("rate_huffman_pct", True)):
        entries = row.entries_pct(huffman)
        if entries.high * (1 + SLACK_PCT / 100) < kept.low:
            why = f"it means at most {entries.high:.3g} entries per 100 weights, of which {row.density_pct} are kept"
            found.append(Contradiction(row.layer, column, getattr(row, column), why))
    return found
