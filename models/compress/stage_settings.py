"""The settings of each stage of a recipe, one struct a stage; `recipe.py` puts them together and reads them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = [
    "EncodeStage", "ExpanderMasks", "LowRankStage", "Optimisation", "PruneStage", "QuantizeStage", "ShareStage",
    "SketchedWeights", "StructuredStage", "TrainStage",
]  # fmt: skip

DEFAULT_ROUNDS = 5
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Kept = Annotated[float, msgspec.Meta(gt=0, le=1)]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Bits = Annotated[int, msgspec.Meta(ge=1, le=16)]
Epochs = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Decay = Annotated[float, msgspec.Meta(ge=0, le=10)]
METHOD_PATTERN = r"^(magnitude|random|[1-9]\d?:[1-9]\d?|block[1-9]\d{0,2}x[1-9]\d{0,2})$"
PruneMethodName = Annotated[str, msgspec.Meta(pattern=METHOD_PATTERN)]
RateWeight = Annotated[float, msgspec.Meta(ge=0, le=1000)]
Shift = Annotated[int, msgspec.Meta(ge=1, le=8)]
LearningRate = Annotated[float, msgspec.Meta(gt=0, le=10)]


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one stage's weights are updated.

    `learning_rate` is the first one; a cosine schedule takes it to 1 % of itself over the stage's steps
    (Loshchilov and Hutter 2017, equation 5), a constant one keeps it. `dropout` gives by layer the share
    of its inputs that are set to 0 in a training step. `shift_pixels`: every training image is moved by up to so many
    pixels each way, drawn anew each time, with zeros behind it (augmentation; none where it is not given).
    """

    batch_size: Positive = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: LearningRate = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: Rate = 0.9
    dropout: dict[str, Rate] = {}
    shift_pixels: Shift | msgspec.UnsetType = msgspec.UNSET

    @property
    def shift(self) -> int:
        return 0 if isinstance(self.shift_pixels, msgspec.UnsetType) else self.shift_pixels


class TrainStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dense network, before anything is taken away.

    Weight decay is decoupled (Loshchilov and Hutter 2019): weights, not biases, shrink by
    learning_rate * weight_decay per step.
    """

    epochs: Epochs
    weight_decay: Decay = 0.0


class PruneStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pruning by `method`: magnitude, random, N:M such as "2:4", or blockRxC such as "block4x4".

    Density falls from 1 to `density` over `gradual_epochs`: every `steps_between_masks` steps (cubic), in `rounds`
    (default 5) of pruning and retraining, or all at once; then the rest is trained for `retraining_epochs` under the
    last masks. With a `global` threshold one magnitude decides for all layers, which then have one density together.
    """

    density: dict[str, Fraction]
    gradual_epochs: Epochs
    retraining_epochs: Epochs
    method: PruneMethodName = "magnitude"
    schedule_density: Literal["cubic", "rounds", "one-shot"] = "cubic"
    rounds: Positive | msgspec.UnsetType = msgspec.UNSET
    threshold: Literal["layer", "global"] | msgspec.UnsetType = msgspec.UNSET
    steps_between_masks: Positive = 100
    weight_decay: Decay = 0.0

    @property
    def number_of_rounds(self) -> int:
        if self.schedule_density == "one-shot":
            return 1
        return DEFAULT_ROUNDS if isinstance(self.rounds, msgspec.UnsetType) else self.rounds

    @property
    def epochs(self) -> int:
        return self.gradual_epochs + self.retraining_epochs


class ShareStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weight sharing: at most 2^bits - 1 shared values by `method`, fine-tuned for `epochs` (0: not).

    `rate_weight` is the entropy method's: coded bits against squared error (0.02 where it is not given).
    """

    bits: dict[str, Bits]
    epochs: Epochs
    method: Literal["kmeans", "exact", "uniform", "entropy"] = "kmeans"
    rate_weight: RateWeight | msgspec.UnsetType = msgspec.UNSET
    init: Literal["linear", "density", "random"] = "linear"
    iterations: Positive = 200


class StructuredStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whole channels and neurons taken out, then `epochs` of training of the smaller network.

    `keep`: by layer, the fraction of its output channels that stays (see `structured.shrink`).
    """

    keep: dict[str, Kept]
    epochs: Epochs
    criterion: Literal["l1", "l2", "random"] = "l1"
    weight_decay: Decay = 0.0


class QuantizeStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights, and activations where `activation_bits` is given, as integers: after training (0 epochs) or trained so.

    `method` holds for layers of its own bits (ternary and ttq: 2, binary: 1, uniform and lsq: any from 2); other layers
    take a uniform grid of theirs. `calibration` sets the range of an activation by its least and largest value over
    1,024 training images, or by `percentile` and 100 - `percentile`. See `quantize` and `train/quantizers.py`.
    """

    bits: dict[str, Bits]
    epochs: Epochs
    method: Literal["uniform", "lsq", "ternary", "ttq", "binary"] = "uniform"
    scheme: Literal["symmetric", "affine"] = "symmetric"
    granularity: Literal["tensor", "channel"] = "tensor"
    activation_bits: Annotated[int, msgspec.Meta(ge=2, le=16)] | msgspec.UnsetType = msgspec.UNSET
    calibration: Literal["minmax", "percentile"] = "minmax"
    percentile: Annotated[float, msgspec.Meta(gt=50, le=100)] = 99.9
    weight_decay: Decay = 0.0


class LowRankStage(Optimisation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Layers split into smaller ones (see `low_rank`), then `epochs` of training of those.

    Either `energy`, by layer, the fraction of squared singular values that stays, or `budget`, the fraction of all
    weights that may stay, with one energy for all layers searched for it.
    """

    epochs: Epochs
    energy: dict[str, Kept] = {}
    budget: Kept | msgspec.UnsetType = msgspec.UNSET
    weight_decay: Decay = 0.0


class ExpanderMasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Layers that have only the weights of a regular bipartite graph, from the first training step on.

    `degree`: by layer, the inputs (input channels) of each output. Their codes are stored as `expander{degree}@{seed}`;
    [prune] leaves these layers alone.
    """

    degree: dict[str, Positive]


class SketchedWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Layers whose weights are hashed into few values, from the first training step on.

    `values`: by layer, the number of values over the number of weights. Nothing but the values is stored
    (`hashed@{seed}`); [prune], [share] and [quantize] leave these layers alone.
    """

    values: dict[str, Kept]


class EncodeStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the codes of every shared tensor lie in the `.pico` file."""

    format: str = "relative5+huffman"
