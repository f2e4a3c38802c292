"""MobileNet V1 (Howard et al., 2017), V2 (Sandler et al., CVPR 2018), V3 (Howard et al., ICCV 2019)."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph
from .blocks import classifier, conv_norm, divisible, inverted_residual

__all__ = ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3"]

# V1, Table 1: output channels and stride of each depthwise separable convolution.
V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# V2, Table 2: expansion t, channels c, repeats n, stride s.
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# V3, Tables 1 and 2: kernel, expanded, channels, squeeze and excite?, activation, stride.
RE, HS = "relu", "hard_swish"
V3_LARGE = (
    (3, 16, 16, False, RE, 1), (3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1), (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1), (3, 240, 80, False, HS, 2), (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1), (3, 184, 80, False, HS, 1), (3, 480, 112, True, HS, 1), (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, True, RE, 2), (3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1), (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1), (5, 240, 40, True, HS, 1), (5, 120, 48, True, HS, 1), (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2), (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1),
)  # fmt: skip


def _name(version: str, width: float, resolution: int) -> str:
    plain = f"mobilenet-{version}"
    return plain if (width, resolution) == (1.0, 224) else f"{plain}-{width}-{resolution}"


def mobilenet_v1(
    width: float = 1.0, resolution: int = 224, *, classes: int = 1000, name: str = "", bias: bool = False,
    softmax: bool = False,
) -> Graph:  # fmt: skip
    """Depthwise separable convolutions, padded as TensorFlow does; `width` scales every layer's channels.

    >>> mobilenet_v1().parameter_count
    4231976
    """
    net = GraphBuilder(name or _name("v1", width, resolution), (1, 3, resolution, resolution))
    conv_norm(net, "stem", max(8, int(32 * width)), 3, stride=2, pad="same", bias=bias)
    for place, (channels, stride) in enumerate(V1, 1):
        before = net.shape()[1]
        conv_norm(net, f"block{place}.depthwise", before, 3, stride=stride, groups=before, pad="same", bias=bias)
        conv_norm(net, f"block{place}.pointwise", max(8, int(channels * width)), bias=bias)
    classifier(net, classes)
    if softmax:
        net.add("softmax", "softmax")
    return net.build()


def mobilenet_v2(width: float = 1.0, resolution: int = 224) -> Graph:
    """Inverted residuals with linear bottlenecks; the last 1280 channels grow with a width above 1 only.

    >>> mobilenet_v2().parameter_count
    3504872
    """
    net = GraphBuilder(_name("v2", width, resolution), (1, 3, resolution, resolution))
    conv_norm(net, "stem", divisible(32 * width), 3, stride=2, act="relu6")
    block = 0
    for expansion, channels, repeats, stride in V2:
        for place in range(repeats):
            block += 1
            expanded = expansion * net.shape()[1]
            inverted_residual(net, f"block{block}", divisible(channels * width), expanded=expanded,
                              stride=stride if place == 0 else 1)  # fmt: skip
    conv_norm(net, "head", divisible(1280 * max(1.0, width)), act="relu6")
    classifier(net, 1000)
    return net.build()


def mobilenet_v3(size: str) -> Graph:
    """V3 "large" or "small", with hard activations and squeeze and excitation.

    >>> mobilenet_v3("large").parameter_count, mobilenet_v3("small").parameter_count
    (5483032, 2542856)
    """
    net = GraphBuilder(f"mobilenet-v3-{size}", (1, 3, 224, 224))
    conv_norm(net, "stem", 16, 3, stride=2, act=HS)
    for place, (kernel, expanded, out, excite, act, stride) in enumerate(V3_LARGE if size == "large" else V3_SMALL, 1):
        squeezed = divisible(expanded / 4) if excite else 0
        inverted_residual(net, f"block{place}", out, expanded=expanded, kernel=kernel, stride=stride, act=act,
                          squeezed=squeezed, gate="hard_sigmoid")  # fmt: skip
    conv_norm(net, "head", 6 * net.shape()[1], act=HS)
    net.add("global_average_pool", "pool")
    net.flatten("flatten")
    net.gemm("fc1", 1280 if size == "large" else 1024)
    net.add(HS, "fc1.hard_swish")
    net.gemm("fc2", 1000)
    return net.build()
