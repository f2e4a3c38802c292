"""A printed row beside a computed one: how far apart, and what in the row explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .published import VALUE_BITS, Interval, PaperLayer, PaperNetwork
from .tables import LayerFigures

__all__ = ["NEAR_PCT", "Comparison", "compare", "comparison_record", "random_entries_pct", "tally"]

NEAR_PCT = 5.0  # relative: a rate this near to the printed one counts as reproduced


def random_entries_pct(density_pct: Interval, index_bits: int) -> Interval:
    """Entries per 100 weights, padding included, of a long uniform random mask whose density lies in an interval.

    A run of zeros is geometric: d / (1 - q^(2^b)) entries per weight, q = 1 - d; it rises with d.

    >>> bounds = random_entries_pct(Interval(8.5, 9.5), 4)
    >>> round(bounds.low, 1), round(bounds.high, 1)
    (11.2, 11.9)
    """
    def entries(percent: float) -> float:
        density = percent / 100
        return 100 * density / (1 - (1 - density) ** (2**index_bits))

    return Interval(entries(density_pct.low), entries(density_pct.high))


@dataclass(frozen=True)
class Comparison:
    """One layer of the paper and ours.

    The paper's codebook has 2^bits entries whether used or not. `shared_pct` and `huffman_pct` are our streams with
    the unused ones added, so that the two count alike; the streams themselves are in `ours`. `matched` are the streams
    of a tensor made to the row's printed statistics (`matched.matched_layer`), where there is one.
    """

    paper: PaperLayer
    ours: LayerFigures
    unused_entries: int
    matched: LayerFigures | None = None

    @property
    def _unused_pct(self) -> float:
        return 100 * self.unused_entries / self.ours.weights

    @property
    def shared_pct(self) -> float:
        return self.ours.rate_shared_pct + self._unused_pct

    @property
    def huffman_pct(self) -> float:
        return self.ours.rate_huffman_pct + self._unused_pct

    @property
    def printed_bits_pct(self) -> float:
        """The Huffman rate from our entries and the printed bits: what is left is the paper's own arithmetic."""
        bits = float(self.paper.weight_bits_huffman) + float(self.paper.index_bits_huffman)
        return self.ours.entries_pct * bits / VALUE_BITS + self.paper.codebook_pct

    @property
    def shared_off_pct(self) -> float:
        return 100 * (self.shared_pct / float(self.paper.rate_shared_pct) - 1)

    @property
    def huffman_off_pct(self) -> float:
        return 100 * (self.huffman_pct / float(self.paper.rate_huffman_pct) - 1)

    @property
    def printed_bits_off_pct(self) -> float:
        return 100 * (self.printed_bits_pct / float(self.paper.rate_huffman_pct) - 1)

    @property
    def matched_shared_off_pct(self) -> float | None:
        return self._matched_off_pct("rate_shared_pct")

    @property
    def matched_huffman_off_pct(self) -> float | None:
        return self._matched_off_pct("rate_huffman_pct")

    def _matched_off_pct(self, rate: str) -> float | None:
        if self.matched is None:
            return None
        unused = 2 ** int(self.paper.weight_bits) - self.matched.codebook_entries
        found = getattr(self.matched, rate) + 100 * unused / self.matched.weights
        return 100 * (found / float(getattr(self.paper, rate)) - 1)

    def reasons(self) -> list[str]:
        """What a rate more than NEAR_PCT off comes from: one line for each, none where all are near."""
        if self.paper.layer == "Total":
            return []
        found = []
        if abs(self.shared_off_pct) > NEAR_PCT or abs(self.printed_bits_off_pct) > NEAR_PCT:
            found.append(self._entries_reason())
        if abs(self.huffman_off_pct) > NEAR_PCT:
            found.append(
                f"P+Q+H {self.huffman_off_pct:+.1f} %: a code takes {self.ours.code_bits_huffman:.2f} bits here and "
                f"{self.paper.weight_bits_huffman} there, a gap {self.ours.index_bits_huffman:.2f} and "
                f"{self.paper.index_bits_huffman}: properties of trained weights that the table does not give"
            )
        return found

    def _entries_reason(self) -> str:
        implied = [self.paper.entries_pct(huffman) for huffman in (False, True)]
        low, high = min(bounds.low for bounds in implied), max(bounds.high for bounds in implied)
        kept = Interval.printed(self.paper.density_pct)
        random = random_entries_pct(kept, int(self.paper.index_bits))
        explained = random.low <= high and low <= random.high
        verdict = "within the rounding of the density" if explained else "no random mask does"
        return (
            f"entries: the printed rates mean {low:.3g} to {high:.3g} per 100 weights; a random mask of "
            f"{kept.low:g} to {kept.high:g} % stores {random.low:.3g} to {random.high:.3g} with padding, here "
            f"{self.ours.entries_pct:.3g}: {verdict}"
        )


def compare(
    network: PaperNetwork, ours: Sequence[LayerFigures], matched: Sequence[LayerFigures] = ()
) -> list[Comparison]:
    """Rows in the paper's order, the total last; `ours` as `figures_of_model` gives them, `matched` one a layer."""
    rows = list(zip((*network.layers, network.total), ours, strict=True))
    unused = [2 ** int(paper.weight_bits) - figures.codebook_entries for paper, figures in rows[:-1]]
    beside = [*matched, None] if matched else [None] * len(rows)
    return [
        Comparison(paper, figures, count, made)
        for (paper, figures), count, made in zip(rows, [*unused, sum(unused)], beside, strict=True)
    ]


def tally(rows: Sequence[Comparison]) -> dict[str, int]:
    """How many layers come within NEAR_PCT of the printed rate, by column."""
    layers = [row for row in rows if row.paper.layer != "Total"]
    columns = {
        "shared_within_5_pct": "shared_off_pct", "huffman_within_5_pct": "huffman_off_pct",
        "huffman_at_printed_bits_within_5_pct": "printed_bits_off_pct",
        "matched_shared_within_5_pct": "matched_shared_off_pct",
        "matched_huffman_within_5_pct": "matched_huffman_off_pct",
    }  # fmt: skip
    found = {"layers": len(layers)}
    for name, column in columns.items():
        off = [value for row in layers if (value := getattr(row, column)) is not None]
        if off:
            found[name] = sum(abs(value) <= NEAR_PCT for value in off)
    return found


def comparison_record(row: Comparison) -> dict[str, Any]:
    """A row as JSON has it; rates are percent of 32 bits a weight, `_off_` columns percent relative to the paper."""
    paper, ours = row.paper, row.ours
    total = paper.layer == "Total"
    return {
        "layer": paper.layer, "weights": ours.weights, "nonzeros": ours.nonzeros, "entries": ours.entries,
        "density_pct": ours.density_pct, "weight_bits": ours.code_bits, "weight_bits_huffman": ours.code_bits_huffman,
        "index_bits": ours.index_bits, "index_bits_huffman": ours.index_bits_huffman,
        "rate_shared_pct": ours.rate_shared_pct, "rate_huffman_pct": ours.rate_huffman_pct,
        "rate_shared_full_codebook_pct": row.shared_pct, "rate_huffman_full_codebook_pct": row.huffman_pct,
        "rate_huffman_printed_bits_pct": None if total else row.printed_bits_pct,
        "stream_bytes": ours.huffman_bits // 8, "shared_off_pct": row.shared_off_pct,
        "huffman_off_pct": row.huffman_off_pct, "printed_bits_off_pct": None if total else row.printed_bits_off_pct,
        "matched_density_pct": row.matched and row.matched.density_pct,
        "matched_shared_off_pct": row.matched_shared_off_pct, "matched_huffman_off_pct": row.matched_huffman_off_pct,
        "reasons": row.reasons(),
        "paper": {
            "density_pct": float(paper.density_pct), "weight_bits": float(paper.weight_bits),
            "weight_bits_huffman": float(paper.weight_bits_huffman), "index_bits": float(paper.index_bits),
            "index_bits_huffman": float(paper.index_bits_huffman), "rate_shared_pct": float(paper.rate_shared_pct),
            "rate_huffman_pct": float(paper.rate_huffman_pct), "source": paper.source, "status": paper.status,
        },
    }  # fmt: skip
