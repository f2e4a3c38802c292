"""AlexNet (Krizhevsky et al., NIPS 2012), Caffe's and torchvision's; VGG (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph

__all__ = ["alexnet", "alexnet_torchvision", "vgg"]

# Convolutions between poolings: channels, how many.
VGG = {
    11: ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)),
    13: ((64, 2), (128, 2), (256, 2), (512, 2), (512, 2)),
    16: ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    19: ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
}
# Channels, kernel, stride, padding, pooled?
TORCHVISION = (
    (64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False), (256, 3, 1, 1, True),
)  # fmt: skip
NORM = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}


def _dense_layers(net: GraphBuilder, names: tuple[str, str, str]) -> Graph:
    net.flatten("flatten")
    for name, outputs in zip(names, (4096, 4096, 1000), strict=True):
        net.gemm(name, outputs)
        if outputs != 1000:
            net.relu(f"relu_{name}")
    return net.build()


def alexnet() -> Graph:
    """Caffe's bvlc_alexnet: two groups in conv2, conv4 and conv5; 60,965,224 parameters.

    >>> alexnet().parameter_count
    60965224
    """
    net = GraphBuilder("alexnet", (1, 3, 227, 227))
    net.conv("conv1", 96, 11, stride=4)
    net.relu("relu1")
    net.add("local_response_norm", "norm1", None, None, **NORM)
    net.max_pool("pool1", 3, 2)
    net.conv("conv2", 256, 5, pad=2, groups=2)
    net.relu("relu2")
    net.add("local_response_norm", "norm2", None, None, **NORM)
    net.max_pool("pool2", 3, 2)
    for name, channels, groups in (("conv3", 384, 1), ("conv4", 384, 2), ("conv5", 256, 2)):
        net.conv(name, channels, 3, pad=1, groups=groups)
        net.relu(f"relu_{name}")
    net.max_pool("pool5", 3, 2)
    return _dense_layers(net, ("fc6", "fc7", "fc8"))


def alexnet_torchvision() -> Graph:
    """torchvision's alexnet, without groups: Krizhevsky, "One weird trick", 2014; 61,100,840 parameters."""
    net = GraphBuilder("alexnet-torchvision", (1, 3, 224, 224))
    for place, (channels, kernel, stride, pad, pooled) in enumerate(TORCHVISION, 1):
        net.conv(f"conv{place}", channels, kernel, stride=stride, pad=pad)
        net.relu(f"relu{place}")
        if pooled:
            net.max_pool(f"pool{place}", 3, 2)
    return _dense_layers(net, ("fc6", "fc7", "fc8"))


def vgg(depth: int) -> Graph:
    """VGG-11, 13, 16 or 19 without normalization.

    >>> vgg(16).parameter_count
    138357544
    """
    net = GraphBuilder(f"vgg-{depth}", (1, 3, 224, 224))
    for stage, (channels, count) in enumerate(VGG[depth], 1):
        for place in range(1, count + 1):
            net.conv(f"conv{stage}_{place}", channels, 3, pad=1)
            net.relu(f"relu{stage}_{place}")
        net.max_pool(f"pool{stage}", 2, 2)
    return _dense_layers(net, ("fc6", "fc7", "fc8"))
