"""SqueezeNet (Iandola et al., 2016), versions 1.0 and 1.1."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph

__all__ = ["squeezenet"]

SQUEEZES = (16, 16, 32, 32, 48, 48, 64, 64)  # fire2 to fire9; each expands to 4 + 4 times as many
POOLS_BEFORE = {"1.0": ("fire2", "fire5", "fire9"), "1.1": ("fire2", "fire4", "fire6")}


def _fire(net: GraphBuilder, name: str, squeezed: int) -> None:
    net.conv(f"{name}.squeeze", squeezed, 1)
    source = net.relu(f"{name}.squeeze_relu")
    sides = []
    for kernel in (1, 3):
        net.conv(f"{name}.expand{kernel}", 4 * squeezed, kernel, pad=kernel // 2, source=source)
        sides.append(net.relu(f"{name}.expand{kernel}_relu"))
    net.add("concat", f"{name}.concat", tuple(sides), axis=1)


def squeezenet(version: str) -> Graph:
    """Fire modules: a 1x1 layer squeezes, 1x1 and 3x3 layers expand.

    >>> squeezenet("1.0").parameter_count, squeezenet("1.1").parameter_count
    (1248424, 1235496)
    """
    net = GraphBuilder(f"squeezenet-{version}", (1, 3, 224, 224))
    net.conv("conv1", 96 if version == "1.0" else 64, 7 if version == "1.0" else 3, stride=2)
    net.relu("relu1")
    for place, squeezed in enumerate(SQUEEZES, 2):
        name = f"fire{place}"
        if name in POOLS_BEFORE[version]:
            net.max_pool(f"pool_{name}", 3, 2, ceil=True)
        _fire(net, name, squeezed)
    net.conv("conv10", 1000, 1)
    net.relu("relu10")
    net.add("global_average_pool", "pool10")
    net.flatten("flatten")
    return net.build()
