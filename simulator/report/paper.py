"""What *Deep Compression* printed for the same layers (its Tables 2 to 5), to stand beside ours."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

from .. import validate

__all__ = ["PaperLayer", "paper_layers"]

FILE = "dc_tables2to5_layers.csv"
PaperLayer = dict[str, str]


@cache
def _rows() -> tuple[PaperLayer, ...]:
    text = resources.files(validate).joinpath(FILE).read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def paper_layers(network: str) -> dict[str, PaperLayer]:
    """Rows by layer for a network of that name, empty for a network the paper does not have.

    Bits per weight after Huffman coding are not used: three of them cannot be what the paper computed.

    >>> paper_layers("lenet-300-100")["ip1"]["weights_pct_kept_P"]
    '8'
    """
    wanted = network.casefold()
    return {row["layer"]: row for row in _rows() if row["network"].casefold() == wanted and row["layer"] != "Total"}
