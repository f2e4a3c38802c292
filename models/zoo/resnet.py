"""ResNet (He et al., CVPR 2016), as torchvision has it: the stride of a bottleneck is in its 3x3 convolution."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph
from .blocks import classifier, conv_norm

__all__ = ["resnet"]

# depth -> blocks per stage, whether they are bottlenecks
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def _block(net: GraphBuilder, name: str, channels: int, stride: int, bottleneck: bool) -> None:
    source = net.last
    if bottleneck:
        conv_norm(net, f"{name}.1", channels)
        conv_norm(net, f"{name}.2", channels, 3, stride=stride)
        main = conv_norm(net, f"{name}.3", 4 * channels, act=None)
    else:
        conv_norm(net, f"{name}.1", channels, 3, stride=stride)
        main = conv_norm(net, f"{name}.2", channels, 3, act=None)
    shortcut = source
    if net.shape(source) != net.shape(main):
        shortcut = conv_norm(net, f"{name}.shortcut", net.shape(main)[1], stride=stride, act=None, source=source)
    net.add("add", f"{name}.add", (main, shortcut))
    net.relu(f"{name}.relu")


def resnet(depth: int) -> Graph:
    """ResNet-18, 34, 50, 101 or 152.

    >>> resnet(18).parameter_count, resnet(50).parameter_count
    (11689512, 25557032)
    """
    blocks, bottleneck = DEPTHS[depth]
    net = GraphBuilder(f"resnet-{depth}", (1, 3, 224, 224))
    conv_norm(net, "stem", 64, 7, stride=2)
    net.max_pool("stem.pool", 3, 2, pad=1)
    for stage, count in enumerate(blocks):
        for place in range(count):
            stride = 2 if place == 0 and stage else 1
            _block(net, f"stage{stage + 1}.{place + 1}", 64 * 2**stage, stride, bottleneck)
    classifier(net, 1000)
    return net.build()
