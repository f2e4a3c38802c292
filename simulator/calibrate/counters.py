"""Energy counters of this machine, where the system lets one be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["POWERCAP", "RaplCounter", "find_counter"]

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class RaplCounter:
    """Running average power limit (RAPL) of the processor packages, as Linux's powercap files show it."""

    files: tuple[Path, ...]
    ranges_uj: tuple[int, ...]

    def read_uj(self) -> tuple[int, ...]:
        """Microjoules by package since some moment; each wraps around at its range."""
        return tuple(int(file.read_text()) for file in self.files)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings, at most one wrap apart.

        >>> RaplCounter((), (1000,)).joules((900,), (100,))
        0.0002
        """
        steps = (b - a if b >= a else b - a + span for a, b, span in zip(before, after, self.ranges_uj, strict=True))
        return sum(steps) / 1e6


def find_counter(folder: Path = POWERCAP) -> RaplCounter | None:
    """The packages' counters; None where there are none or they may not be read (often only root may)."""
    files, ranges = [], []
    for zone in sorted(folder.glob("intel-rapl:[0-9]*")):
        if zone.name.count(":") != 1:  # a part of a package, counted in it
            continue
        try:
            int((zone / "energy_uj").read_text())
            ranges.append(int((zone / "max_energy_range_uj").read_text()))
        except (OSError, ValueError):
            return None
        files.append(zone / "energy_uj")
    return RaplCounter(tuple(files), tuple(ranges)) if files else None
