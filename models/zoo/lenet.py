"""LeNet-300-100 and LeNet-5 as *Deep Compression* uses them (Caffe's definitions)."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph

__all__ = ["lenet_300_100", "lenet_5"]


def lenet_300_100() -> Graph:
    """784-300-100-10, fully connected; 266,610 parameters (LeCun et al. 1998).

    >>> lenet_300_100().parameter_count
    266610
    """
    net = GraphBuilder("lenet-300-100", (1, 1, 28, 28))
    net.flatten("flatten")
    net.gemm("ip1", 300)
    net.relu("relu1")
    net.gemm("ip2", 100)
    net.relu("relu2")
    net.gemm("ip3", 10)
    return net.build()


def lenet_5() -> Graph:
    """Caffe's LeNet: conv 20 5x5, pool, conv 50 5x5, pool, fc 500, fc 10; 431,080 parameters.

    >>> lenet_5().parameter_count
    431080
    """
    net = GraphBuilder("lenet-5", (1, 1, 28, 28))
    net.conv("conv1", 20, 5)
    net.max_pool("pool1", 2, 2)
    net.conv("conv2", 50, 5)
    net.max_pool("pool2", 2, 2)
    net.flatten("flatten")
    net.gemm("ip1", 500)
    net.relu("relu1")
    net.gemm("ip2", 10)
    return net.build()
