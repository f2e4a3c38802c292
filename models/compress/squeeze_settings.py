"""The settings of the stage that prunes and shares for the fewest coded bytes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .stage_settings import Epochs, Fraction, LearningRate, Optimisation, Positive, RateWeight

__all__ = ["SqueezeStage"]

Temperature = Annotated[float, msgspec.Meta(ge=1, le=100)]
Levels = Annotated[int, msgspec.Meta(ge=2, le=256)]


class SqueezeStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pruning and sharing for the fewest coded bytes, weights and biases of all layers in one budget (see `rate`).

    The estimated bytes fall to `budget_bytes` over `gradual_epochs` (cubic), every `steps_between_masks` steps; then
    `retraining_epochs` under the last masks; then `sharing_epochs` in which every weight stands for one of at most
    `levels` values of its tensor (entropy constrained with `rate_weight`, renewed each step) and the weights behind
    them go on learning by the straight-through gradient, from `sharing_learning_rate` on. The loss is cross entropy
    plus `distillation` parts in 1 of the divergence from the network that the stage began with, at a `temperature`
    (Hinton et al. 2015).
    """

    budget_bytes: Positive
    gradual_epochs: Epochs
    retraining_epochs: Epochs
    sharing_epochs: Epochs
    sharing_learning_rate: LearningRate = 5e-4
    levels: Levels = 12
    rate_weight: RateWeight = 0.01
    steps_between_masks: Positive = 50
    distillation: Fraction = 0.9
    temperature: Temperature = 4.0

    @property
    def pruning_epochs(self) -> int:
        return self.gradual_epochs + self.retraining_epochs

    @property
    def epochs(self) -> int:
        return self.pruning_epochs + self.sharing_epochs
