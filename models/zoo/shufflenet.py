"""ShuffleNet V1 (Zhang et al., CVPR 2018) and V2 (Ma et al., ECCV 2018)."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph
from .blocks import classifier, conv_norm

__all__ = ["shufflenet_v1", "shufflenet_v2"]

# V1, Table 1: channels of stage 2 by groups; they double twice. Blocks per stage after the first.
V1_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
V1_STEMS = {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}  # before rounding up to a multiple of the groups
REPEATS = (3, 7, 3)
# V2, Table 5: channels of stages 2, 3, 4 and of the last convolution.
V2_CHANNELS = {
    "0.5": (48, 96, 192, 1024),
    "1.0": (116, 232, 464, 1024),
    "1.5": (176, 352, 704, 1024),
    "2.0": (244, 488, 976, 2048),
}


def _unit_v1(net: GraphBuilder, name: str, out: int, groups: int, stride: int, first: bool) -> None:
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; added, or beside a pooled shortcut at stride 2."""
    source, main = net.last, out - net.shape()[1] if stride == 2 else out
    conv_norm(net, f"{name}.1", out // 4, groups=1 if first else groups)
    if groups > 1:
        net.add("channel_shuffle", f"{name}.shuffle", groups=groups)
    conv_norm(net, f"{name}.2", out // 4, 3, stride=stride, groups=out // 4, act=None)
    last = conv_norm(net, f"{name}.3", main, groups=groups, act=None)
    if stride == 2:
        pooled = net.average_pool(f"{name}.pool", 3, 2, pad=1, source=source)
        net.add("concat", f"{name}.concat", (pooled, last), axis=1)
    else:
        net.add("add", f"{name}.add", (source, last))
    net.relu(f"{name}.relu")


def shufflenet_v1(groups: int = 3, width: float = 1.0) -> Graph:
    """ShuffleNet V1 at `width` (0.5, 1, 1.5 or 2) times Table 1's channels for `groups`.

    >>> round(shufflenet_v1(8, 0.5).parameter_count / 1e6, 1)
    1.0
    """
    suffix = "" if (groups, width) == (3, 1.0) else f"-g{groups}-{width:g}"
    net = GraphBuilder(f"shufflenet-v1{suffix}", (1, 3, 224, 224))
    conv_norm(net, "stem", -(-V1_STEMS[width] // groups) * groups, 3, stride=2)
    net.max_pool("stem.pool", 3, 2, pad=1)
    for stage, repeats in enumerate(REPEATS):
        out = int(V1_CHANNELS[groups] * width) * 2**stage
        for place in range(repeats + 1):
            name = f"stage{stage + 2}.{place + 1}"
            _unit_v1(net, name, out, groups, 2 if place == 0 else 1, stage == 0 and place == 0)
    classifier(net, 1000)
    return net.build()


def _unit_v2(net: GraphBuilder, name: str, out: int, stride: int) -> None:
    """Half of the channels pass by; at stride 2 both halves are convolved."""
    source, half = net.last, out // 2
    if stride == 2:
        channels = net.shape()[1]
        conv_norm(net, f"{name}.left1", channels, 3, stride=2, groups=channels, act=None)
        left = conv_norm(net, f"{name}.left2", half)
        right = source
    else:
        left = net.add("slice", f"{name}.left", (source,), starts=(0,), ends=(half,), axes=(1,))
        right = net.add("slice", f"{name}.right", (source,), starts=(half,), ends=(out,), axes=(1,))
    conv_norm(net, f"{name}.1", half, source=right)
    conv_norm(net, f"{name}.2", half, 3, stride=stride, groups=half, act=None)
    last = conv_norm(net, f"{name}.3", half)
    net.add("concat", f"{name}.concat", (left, last), axis=1)
    net.add("channel_shuffle", f"{name}.shuffle", groups=2)


def shufflenet_v2(width: str = "1.0") -> Graph:
    """ShuffleNet V2 at 0.5, 1.0, 1.5 or 2.0.

    >>> shufflenet_v2().parameter_count
    2278604
    """
    *stages, head = V2_CHANNELS[width]
    net = GraphBuilder(f"shufflenet-v2-{width}", (1, 3, 224, 224))
    conv_norm(net, "stem", 24, 3, stride=2)
    net.max_pool("stem.pool", 3, 2, pad=1)
    for stage, (out, repeats) in enumerate(zip(stages, REPEATS, strict=True), 2):
        for place in range(repeats + 1):
            _unit_v2(net, f"stage{stage}.{place + 1}", out, 2 if place == 0 else 1)
    conv_norm(net, "head", head)
    classifier(net, 1000)
    return net.build()
