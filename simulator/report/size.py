"""The size of a compressed model: the ladder, the paper's figures beside it, the file byte by byte."""

from __future__ import annotations

from ...models.compress.baselines import BASELINES, baseline_bytes
from ...models.model import Model
from ..figures import size_ladder_figure
from ..figures.style import times
from ..ladder import size_ladder
from ..workload import make_workload
from .content import Block, Chart, Section, Table, Text
from .paper import PaperLayer, paper_layers
from .wording import bytes_text, percent

__all__ = ["size_section"]


def _ladder_table(model: Model) -> Table:
    rows = []
    for rung in size_ladder(model):
        paper = bytes_text(rung.paper_bytes) if rung.paper_bytes else "–"
        ratio = times(rung.paper_ratio) if rung.paper_ratio else "–"
        rows.append((rung.step, f"{rung.bytes:,.0f}", times(rung.ratio), paper, ratio, rung.how))
    return Table(("step", "bytes", "ratio", "paper", "paper's ratio", "what is counted"), tuple(rows), left=(0, 5))


def _baseline_table(model: Model) -> Table:
    """General compressors on the same weights, beside the file."""
    dense = 4 * model.graph.parameter_count
    found: list[tuple[str, int | None]] = [(BASELINES[key], value) for key, value in baseline_bytes(model).items()]
    if model.file_bytes is not None:
        found.insert(0, ("the .pico file", model.file_bytes))
    rows = [
        (name, "not in this build of Arrow", "–") if value is None else (name, f"{value:,}", times(dense / value))
        for name, value in found
    ]
    caption = "General compressors on the same weights: what every format of our own has to beat."
    return Table(("what", "bytes", "ratio"), tuple(rows), left=(0,), caption=caption)


def _paper_row(name: str, ours: tuple[float, int], paper: PaperLayer) -> tuple[str, ...]:
    return (
        name,
        percent(ours[0]),
        f"{paper.density_pct} %",
        str(ours[1]),
        paper.weight_bits,
        f"{paper.rate_huffman_pct} %",
    )


def _layer_table(model: Model, printed: dict[str, PaperLayer]) -> Table | None:
    """Densities and bits of layers that the paper has too."""
    workload = make_workload(model)
    density = workload.density
    rows = [
        _paper_row(name, (float(density[place]), int(workload.weight_bits[place])), printed[name])
        for place, name in enumerate(workload.names)
        if name in printed
    ]
    if not rows:
        return None
    headers = ("layer", "weights kept", "paper", "bits per weight", "paper", "paper: size left")
    return Table(headers, tuple(rows), caption="Layer by layer beside the paper's tables.")


def _ledger_table(model: Model) -> Table:
    total = sum(row.bytes for row in model.ledger)
    rows = [
        (row.tensor or "the file", row.section, f"{row.entries:,}" if row.entries else "–", f"{row.bytes:,}")
        for row in model.ledger
    ]
    rows.append(("all", "", "", f"{total:,}"))
    return Table(("tensor", "section", "entries", "bytes"), tuple(rows), left=(0, 1), caption="The file, byte by byte.")


def size_section(model: Model) -> Section | None:
    """None for a model without shared weights."""
    if not model.coded:
        return None
    printed = paper_layers(model.graph.name)
    blocks: list[Block] = [
        Chart(size_ladder_figure(size_ladder(model)), "All parameters after each step of Deep Compression."),
        _ladder_table(model),
        _baseline_table(model),
    ]
    if printed and (table := _layer_table(model, printed)):
        blocks.append(table)
        source = next(iter(printed.values())).source
        blocks.append(Text(f"The paper: {source}; sizes in KB of 1,000 bytes from its Table 1.", "note"))
    if model.ledger:
        blocks.append(_ledger_table(model))
    return Section(f"Size of {model.name}", tuple(blocks))
