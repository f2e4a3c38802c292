"""Accelerators: whole networks from the command line, mappings searched or blocks and streams predicted."""
# pyright: reportMissingImports=false

from __future__ import annotations

from .harness import Row, time_command

COMMANDS = (
    ("mobilenet-v2", "eyeriss", 15),
    ("mobilenet-v2", "eyeriss-v2", 8),
    ("resnet-50", "tpu-v1", 3),
    ("bert-base", "ethos-u85-256", 3),
    ("resnet-50", "ethos-u55-256", 2),
)


def bench_estimates_of_networks() -> list[Row]:
    """One command each; the mapper's optimum of every layer is proven."""
    rows = []
    for network, target, aim in COMMANDS:
        timing = time_command(["-m", "picojoule", "estimate", network, "--target", target, "--json"],
                              expect='"totals"', runs=1)  # fmt: skip
        rows.append(Row(f"picojoule estimate {network} on {target}", timing.cpu_s, "CPU s", f"< {aim}"))
    return rows
