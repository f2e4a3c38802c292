"""What *Deep Compression* printed for the same layers (its Tables 2 to 5), to stand beside ours."""

from __future__ import annotations

from ...models.literature.published import TABLES, PaperLayer, paper_network

__all__ = ["PaperLayer", "paper_layers"]


def paper_layers(network: str) -> dict[str, PaperLayer]:
    """Rows by layer for a network of that name, empty for a network the paper does not have.

    Bits per weight after Huffman coding are not used: three of them cannot be what the paper computed.

    >>> paper_layers("lenet-300-100")["ip1"].density_pct
    '8'
    """
    name = network.casefold()
    return {row.layer: row for row in paper_network(name).layers} if name in TABLES.values() else {}
