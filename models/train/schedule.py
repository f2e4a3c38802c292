"""How density falls over the steps of a prune stage, and when masks are made anew."""

from __future__ import annotations

from ..compress.prune import cubic_density, round_density, round_of
from ..compress.stage_settings import PruneStage

__all__ = ["masks_are_due", "scheduled_density"]


def scheduled_density(settings: PruneStage, final: float, step: int, steps: int) -> float:
    """Density at `step` of `steps`: gradual (cubic), in rounds, or at once.

    >>> stage = PruneStage(density={}, gradual_epochs=4, retraining_epochs=0, schedule_density="rounds", rounds=2)
    >>> [scheduled_density(stage, 0.25, step, 4) for step in range(5)]
    [0.5, 0.5, 0.25, 0.25, 0.25]
    """
    if settings.schedule_density == "cubic":
        return cubic_density(final, step, steps)
    return round_density(final, step, steps, settings.number_of_rounds)


def masks_are_due(settings: PruneStage, step: int, ramp: int) -> bool:
    """Whether masks are made before this step: every so many steps or at each round's start, and at the end of both."""
    if step >= ramp:
        return step == ramp
    if settings.schedule_density == "cubic":
        return step % settings.steps_between_masks == 0
    rounds = settings.number_of_rounds
    return step == 0 or round_of(step, ramp, rounds) != round_of(step - 1, ramp, rounds)
