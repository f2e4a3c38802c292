"""The size ladder of Deep Compression: dense, pruned, shared, Huffman, beside what the paper printed."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.model import Model
from .formats import parse_format, predict_size
from .workload import make_workload

__all__ = ["PAPER_LADDERS", "Rung", "size_ladder"]

# Han et al., ICLR 2016: Table 1 (sizes in KB of 1,000 bytes) and the P+Q rates of Tables 2 and 3.
PAPER_LADDERS = {
    "lenet-300-100": {"dense": 1_070_000, "shared": 0.031 * 1_070_000, "Huffman": 27_000},
    "lenet-5": {"dense": 1_720_000, "shared": 0.0305 * 1_720_000, "Huffman": 44_000},
}


@dataclass(frozen=True)
class Rung:
    """One step: bytes of all parameters after it, and the paper's where it gives them."""

    step: str
    bytes: float
    ratio: float
    paper_bytes: float | None
    paper_ratio: float | None
    how: str


def size_ladder(model: Model) -> list[Rung]:
    """Bytes after each step of the paper for a model with shared weights; biases in fp32 throughout.

    Pruned: fp32 values with the file's relative index, padding included. Shared: codes and codebooks
    instead of values. Huffman: the `.pico` file as it is on disk, header and checksum included.
    """
    workload = make_workload(model)
    biases = float(workload.bias_bits.sum())
    pruned = shared = biases
    for place, make in enumerate(workload.structures):
        if make is None:
            continue
        name = str(workload.storage[place])
        family, index_bits, _ = parse_format(name)
        plain = f"relative{index_bits}" if family == "relative" else "relative5"
        pruned += predict_size(plain, make(), 32).total_bits
        shared += predict_size(plain, make(), int(workload.weight_bits[place])).total_bits
        shared += float(workload.codebook_bits[place])
    dense = 32.0 * model.graph.parameter_count
    steps = [
        ("dense", dense, "fp32, every weight"),
        ("pruned", pruned, "fp32 values and relative indices"),
        ("shared", shared, "codes, codebooks and relative indices"),
    ]
    if model.file_bytes is not None:
        steps.append(("Huffman", 8.0 * model.file_bytes, "the .pico file on disk, everything included"))
    paper = PAPER_LADDERS.get(model.graph.name, {})
    return [
        Rung(
            step, bits / 8, dense / bits, paper.get(step), paper["dense"] / paper[step] if step in paper else None, how
        )
        for step, bits, how in steps
    ]
