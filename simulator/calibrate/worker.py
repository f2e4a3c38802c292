"""`python -m ...worker THREADS tiny|full`: runs the probes and writes one line of JSON for each."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from .probes import BUDGET_S, probe_list, run_probe


def main(threads: int, size: str) -> None:
    tiny = size == "tiny"
    for probe in probe_list(tiny):
        measured = run_probe(probe, threads=threads, budget_s=0.01 if tiny else BUDGET_S)
        sys.stdout.write(json.dumps(asdict(measured.timing)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
