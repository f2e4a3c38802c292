"""Map the networks of the mapped chips again and write their rows, which `picojoule validate` reads.

    python -m picojoule.simulator.validate.map_again simulator/validate

run in a checkout, writes mapped.csv; tests hold the table to the live prediction.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import astuple, fields
from pathlib import Path

from .eyeriss_chip import eyeriss_rows
from .eyeriss_v2_chip import eyeriss_v2_rows
from .mapped import TABLE
from .rows import ValidationRow

__all__ = ["LIVE", "main"]

LIVE = {"eyeriss": eyeriss_rows, "eyeriss-v2": eyeriss_v2_rows}


def main(folder: str) -> None:
    """Write the table into `folder`, values to nine digits."""
    with (Path(folder) / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(ValidationRow))
        for rows in LIVE.values():
            writer.writerows(
                [f"{value:.9g}" if isinstance(value, float) else value for value in astuple(row)] for row in rows()
            )


if __name__ == "__main__":
    main(sys.argv[1])
