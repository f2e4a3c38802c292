"""GoogLeNet (Szegedy et al., CVPR 2015) and DenseNet-121 (Huang et al., CVPR 2017), as torchvision has them."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph
from .blocks import classifier, conv_norm

__all__ = ["densenet_121", "googlenet"]

# Table 1: 1x1, reduction and 3x3, reduction and "5x5", pool projection; None is a pooling of that kernel.
INCEPTIONS: tuple[tuple[str, tuple[int, ...] | int], ...] = (
    ("3a", (64, 96, 128, 16, 32, 32)), ("3b", (128, 128, 192, 32, 96, 64)), ("pool3", 3),
    ("4a", (192, 96, 208, 16, 48, 64)), ("4b", (160, 112, 224, 24, 64, 64)), ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)), ("4e", (256, 160, 320, 32, 128, 128)), ("pool4", 2),
    ("5a", (256, 160, 320, 32, 128, 128)), ("5b", (384, 192, 384, 48, 128, 128)),
)  # fmt: skip
DENSE_BLOCKS, GROWTH = (6, 12, 24, 16), 32


def _inception(net: GraphBuilder, name: str, widths: tuple[int, ...]) -> None:
    source = net.last
    one, reduce3, three, reduce5, five, pool = widths
    branches = [conv_norm(net, f"{name}.1", one, source=source)]
    conv_norm(net, f"{name}.3reduce", reduce3, source=source)
    branches.append(conv_norm(net, f"{name}.3", three, 3))
    conv_norm(net, f"{name}.5reduce", reduce5, source=source)
    branches.append(conv_norm(net, f"{name}.5", five, 3))  # 3x3 in torchvision, as in the TensorFlow original
    pooled = net.max_pool(f"{name}.pool", 3, 1, pad=1, ceil=True, source=source)
    branches.append(conv_norm(net, f"{name}.project", pool, source=pooled))
    net.add("concat", f"{name}.concat", tuple(branches), axis=1)


def googlenet() -> Graph:
    """GoogLeNet without its auxiliary classifiers, which inference does not run.

    >>> googlenet().parameter_count
    6624904
    """
    net = GraphBuilder("googlenet", (1, 3, 224, 224))
    conv_norm(net, "conv1", 64, 7, stride=2)
    net.max_pool("pool1", 3, 2, ceil=True)
    conv_norm(net, "conv2", 64)
    conv_norm(net, "conv3", 192, 3)
    net.max_pool("pool2", 3, 2, ceil=True)
    for name, widths in INCEPTIONS:
        if isinstance(widths, int):
            net.max_pool(name, widths, 2, ceil=True)
        else:
            _inception(net, f"inception{name}", widths)
    classifier(net, 1000)
    return net.build()


def _norm_relu(net: GraphBuilder, name: str) -> None:
    net.norm(f"{name}.norm")
    net.relu(f"{name}.relu")


def densenet_121() -> Graph:
    """Every layer reads all before it in its block; growth 32, transitions halve.

    >>> densenet_121().parameter_count
    7978856
    """
    net = GraphBuilder("densenet-121", (1, 3, 224, 224))
    conv_norm(net, "stem", 64, 7, stride=2)
    net.max_pool("stem.pool", 3, 2, pad=1)
    for block, layers in enumerate(DENSE_BLOCKS, 1):
        for layer in range(1, layers + 1):
            name, source = f"dense{block}.{layer}", net.last
            _norm_relu(net, f"{name}.1")
            net.conv(f"{name}.1.conv", 4 * GROWTH, 1, bias=False)
            _norm_relu(net, f"{name}.2")
            net.conv(f"{name}.2.conv", GROWTH, 3, pad=1, bias=False)
            net.add("concat", f"{name}.concat", (source, net.last), axis=1)
        if block < len(DENSE_BLOCKS):
            _norm_relu(net, f"transition{block}")
            net.conv(f"transition{block}.conv", net.shape()[1] // 2, 1, bias=False)
            net.average_pool(f"transition{block}.pool", 2, 2)
    _norm_relu(net, "head")
    classifier(net, 1000)
    return net.build()
