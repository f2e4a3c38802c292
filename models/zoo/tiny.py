"""The four networks of MLPerf Tiny (Banbury et al., NeurIPS 2021), and the NeuralTalk layers that EIE measured."""

from __future__ import annotations

from ..build import GraphBuilder
from ..graph import Graph
from .mobilenet import mobilenet_v1

__all__ = ["anomaly_detection", "image_classification", "keyword_spotting", "neuraltalk", "visual_wake_words"]

# EIE, Table III: inputs and outputs of the three NeuralTalk layers.
NEURALTALK = {"nt-we": (4096, 600), "nt-wd": (600, 8791), "nt-lstm": (1201, 2400)}


def anomaly_detection() -> Graph:
    """ad: an autoencoder, 640-128-128-128-128-8 and back, normalized."""
    net = GraphBuilder("mlperf-tiny-ad", (1, 640))
    for place, outputs in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), 1):
        net.gemm(f"fc{place}", outputs)
        net.norm(f"fc{place}.norm")
        net.relu(f"fc{place}.relu")
    net.gemm("fc10", 640)
    return net.build()


def keyword_spotting() -> Graph:
    """kws: DS-CNN on 49 x 10 features, four depthwise separable blocks of 64, 12 words (Zhang et al., 2017)."""
    net = GraphBuilder("mlperf-tiny-kws", (1, 1, 49, 10))
    net.conv("stem.conv", 64, (10, 4), stride=2, pad="same")
    net.norm("stem.norm")
    net.relu("stem.relu")
    for place in range(1, 5):
        for kind, kernel, groups in (("depthwise", 3, 64), ("pointwise", 1, 1)):
            net.conv(f"block{place}.{kind}.conv", 64, kernel, pad=kernel // 2, groups=groups)
            net.norm(f"block{place}.{kind}.norm")
            net.relu(f"block{place}.{kind}.relu")
    net.add("global_average_pool", "pool")
    net.flatten("flatten")
    net.gemm("fc", 12)
    net.add("softmax", "softmax")
    return net.build()


def visual_wake_words() -> Graph:
    """vww: MobileNetV1 at width 0.25 on 96 x 96 pixels, person or not; its convolutions keep their biases."""
    return mobilenet_v1(0.25, 96, classes=2, name="mlperf-tiny-vww", bias=True, softmax=True)


def image_classification() -> Graph:
    """ic: ResNet-8 on 32 x 32 pixels, three stages of one block, ten classes."""
    net = GraphBuilder("mlperf-tiny-ic", (1, 3, 32, 32))

    def conv(name: str, channels: int, kernel: int, stride: int = 1, source: str | None = None) -> None:
        net.conv(f"{name}.conv", channels, kernel, stride=stride, pad="same", source=source)

    conv("stem", 16, 3)
    net.norm("stem.norm")
    source = net.relu("stem.relu")
    for stage, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        conv(f"stage{stage}.1", channels, 3, stride, source)
        net.norm(f"stage{stage}.1.norm")
        net.relu(f"stage{stage}.1.relu")
        conv(f"stage{stage}.2", channels, 3)
        main = net.norm(f"stage{stage}.2.norm")
        if stride == 2:
            conv(f"stage{stage}.shortcut", channels, 1, stride, source)
            source = net.last
        net.add("add", f"stage{stage}.add", (main, source))
        source = net.relu(f"stage{stage}.relu")
    net.add("global_average_pool", "pool")
    net.flatten("flatten")
    net.gemm("fc", 10)
    net.add("softmax", "softmax")
    return net.build()


def neuraltalk(name: str) -> Graph:
    """One fully connected layer: word embedding, word decoder, or the four gates of the LSTM."""
    inputs, outputs = NEURALTALK[name]
    net = GraphBuilder(name, (1, inputs))
    net.gemm(name, outputs, bias=False)
    return net.build()
