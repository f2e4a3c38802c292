"""EfficientNet B0 to B7 (Tan and Le, ICML 2019) and Lite0 to Lite4 (Google, 2020)."""

from __future__ import annotations

from math import ceil

from ..build import GraphBuilder
from ..graph import Graph
from .blocks import classifier, conv_norm, divisible, inverted_residual

__all__ = ["efficientnet", "efficientnet_lite"]

# Table 1 of the paper: expansion, kernel, stride, channels, repeats.
STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip
# Width, depth, resolution.
SCALES = {
    0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 300), 4: (1.4, 1.8, 380),
    5: (1.6, 2.2, 456), 6: (1.8, 2.6, 528), 7: (2.0, 3.1, 600),
}  # fmt: skip
LITE_SCALES = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}


def efficientnet(variant: int, resolution: int | None = None) -> Graph:
    """B0 to B7: compound scaling of width, depth and resolution; swish, squeeze and excitation.

    `resolution` is the paper's by default; torchvision's weights of B2 were evaluated at 288 pixels, not 260.

    >>> efficientnet(0).parameter_count
    5288548
    """
    width, depth, pixels = SCALES[variant]
    resolution = resolution or pixels
    net = GraphBuilder(f"efficientnet-b{variant}", (1, 3, resolution, resolution))
    conv_norm(net, "stem", divisible(32 * width), 3, stride=2, act="swish")
    for stage, (expansion, kernel, stride, channels, repeats) in enumerate(STAGES, 1):
        for place in range(ceil(repeats * depth)):
            before = net.shape()[1]
            inverted_residual(
                net, f"stage{stage}.{place + 1}", divisible(channels * width), expanded=expansion * before,
                kernel=kernel, stride=stride if place == 0 else 1, act="swish", squeezed=max(1, before // 4),
                se_act="swish",
            )  # fmt: skip
    conv_norm(net, "head", divisible(1280 * width), act="swish")
    classifier(net, 1000)
    return net.build()


def efficientnet_lite(variant: int) -> Graph:
    """Lite0 to Lite4: relu6, no squeeze and excitation, stem and head of fixed size, TensorFlow's padding."""
    width, depth, resolution = LITE_SCALES[variant]
    net = GraphBuilder(f"efficientnet-lite{variant}", (1, 3, resolution, resolution))
    conv_norm(net, "stem", 32, 3, stride=2, act="relu6", pad="same")
    for stage, (expansion, kernel, stride, channels, repeats) in enumerate(STAGES, 1):
        fixed = stage in (1, len(STAGES))
        for place in range(repeats if fixed else ceil(repeats * depth)):
            expanded = expansion * net.shape()[1]
            inverted_residual(net, f"stage{stage}.{place + 1}", divisible(channels * width), expanded=expanded,
                              kernel=kernel, stride=stride if place == 0 else 1, pad="same")  # fmt: skip
    conv_norm(net, "head", 1280, act="relu6")
    classifier(net, 1000)
    return net.build()
