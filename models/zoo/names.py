"""The table of networks that have a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

from ..errors import InputError
from ..graph import Graph
from .alexnet import alexnet, alexnet_torchvision, vgg
from .efficientnet import efficientnet, efficientnet_lite
from .inception import densenet_121, googlenet
from .lenet import lenet_5, lenet_300_100
from .mobilenet import mobilenet_v1, mobilenet_v2, mobilenet_v3
from .resnet import resnet
from .shufflenet import V1_CHANNELS, V2_CHANNELS, shufflenet_v1, shufflenet_v2
from .squeezenet import squeezenet
from .tiny import (
    NEURALTALK,
    anomaly_detection,
    image_classification,
    keyword_spotting,
    neuraltalk,
    visual_wake_words,
)
from .transformers import bert_base, decoder, vit_b_16

__all__ = ["EIE_ACTIVATIONS", "NETWORKS", "Network", "build_network", "network_names"]

CONTEXT_LIMIT = 1 << 17


# EIE, ISCA 2016, Table III: fractions of non-zero inputs of the layers that its benchmarks are.
EIE_ACTIVATIONS: Mapping[str, Mapping[str, float]] = {
    "alexnet": {"fc6": 0.351, "fc7": 0.353, "fc8": 0.375},
    "vgg-16": {"fc6": 0.183, "fc7": 0.375, "fc8": 0.411},
    **{name: {name: 1.0} for name in NEURALTALK},
}


@dataclass(frozen=True)
class Network:
    """How to build a network, what it is trained on, and where its definition comes from.

    `options` are keywords of `build` that a MODEL string may set: "phase" and "context".
    """

    name: str
    build: Callable[..., Graph]
    dataset: str
    source: str
    options: tuple[str, ...] = ()


def _imagenet() -> list[Network]:
    v1, v2, v3 = (
        "Howard et al., 2017, Table 1",
        "Sandler et al., CVPR 2018, Table 2",
        "Howard et al., ICCV 2019, Tables 1 and 2",
    )
    rows: list[tuple[str, Callable[..., Graph], str]] = [
        ("alexnet", alexnet, "Caffe's bvlc_alexnet; Krizhevsky et al., NIPS 2012"),
        ("alexnet-torchvision", alexnet_torchvision, "torchvision; Krizhevsky, 2014"),
        ("googlenet", googlenet, "Szegedy et al., CVPR 2015, Table 1; torchvision"),
        ("densenet-121", densenet_121, "Huang et al., CVPR 2017, Table 1"),
        ("vit-b-16", vit_b_16, "Dosovitskiy et al., ICLR 2021, Table 1"),
    ]
    rows += [(f"vgg-{d}", partial(vgg, d), "Simonyan and Zisserman, ICLR 2015, Table 1") for d in (11, 13, 16, 19)]
    rows += [(f"squeezenet-{v}", partial(squeezenet, v), "Iandola et al., 2016, Table 1") for v in ("1.0", "1.1")]
    rows += [(f"resnet-{d}", partial(resnet, d), "He et al., CVPR 2016, Table 1") for d in (18, 34, 50, 101, 152)]
    rows += [(f"mobilenet-v3-{s}", partial(mobilenet_v3, s), v3) for s in ("large", "small")]
    rows += [(f"shufflenet-v2-{w}", partial(shufflenet_v2, w), "Ma et al., ECCV 2018, Table 5") for w in V2_CHANNELS]
    rows += [(f"efficientnet-b{b}", partial(efficientnet, b), "Tan and Le, ICML 2019, Table 1") for b in range(8)]
    rows += [(f"efficientnet-lite{b}", partial(efficientnet_lite, b), "EfficientNet-Lite, 2020") for b in range(5)]
    for groups in V1_CHANNELS:
        name = "shufflenet-v1" if groups == 3 else f"shufflenet-v1-g{groups}-1"
        rows.append((name, partial(shufflenet_v1, groups), "Zhang et al., CVPR 2018, Table 1"))
    for groups, width in product((3, 8), (0.5, 1.5, 2.0)):
        name = f"shufflenet-v1-g{groups}-{width:g}"
        rows.append((name, partial(shufflenet_v1, groups, width), "Zhang et al., CVPR 2018, Table 1"))
    for width in (0.25, 0.5, 0.75, 1.0):
        for size in (128, 160, 192, 224):
            name = "mobilenet-v1" if (width, size) == (1.0, 224) else f"mobilenet-v1-{width}-{size}"
            rows.append((name, partial(mobilenet_v1, width, size), v1))
    sizes = [(w, s) for w in (1.0, 0.75, 0.5, 0.35) for s in (96, 128, 160, 192, 224)]
    for width, size in (*sizes, (1.3, 224), (1.4, 224)):
        name = "mobilenet-v2" if (width, size) == (1.0, 224) else f"mobilenet-v2-{width}-{size}"
        rows.append((name, partial(mobilenet_v2, width, size), v2))
    return [Network(name, build, "imagenet", source) for name, build, source in rows]


def _others() -> list[Network]:
    tiny = "Banbury et al., MLPerf Tiny, NeurIPS 2021"
    return [
        Network("lenet-300-100", lenet_300_100, "mnist", "LeCun et al. 1998; Han et al., ICLR 2016, Table 2"),
        Network("lenet-5", lenet_5, "mnist", "Caffe's lenet_train_test; Han et al., ICLR 2016, Table 3"),
        Network("mlperf-tiny-ad", anomaly_detection, "toyadmos", tiny),
        Network("mlperf-tiny-kws", keyword_spotting, "speech-commands", tiny),
        Network("mlperf-tiny-vww", visual_wake_words, "visual-wake-words", tiny),
        Network("mlperf-tiny-ic", image_classification, "cifar-10", tiny),
        *(Network(n, partial(neuraltalk, n), "flickr-8k", "Han et al., EIE, ISCA 2016, Table III") for n in NEURALTALK),
        Network("bert-base", bert_base, "text", "Devlin et al., NAACL 2019, section 3", ("context",)),
        Network("gpt2", decoder, "text", "Radford et al., 2019, Table 2 (117M)", ("phase", "context")),
    ]


NETWORKS: Mapping[str, Network] = {network.name: network for network in (*_others(), *_imagenet())}


def network_names() -> list[str]:
    return sorted(NETWORKS)


def build_network(name: str, phase: str | None = None, context: int | None = None) -> Graph:
    """The dense fp32 graph of a named network, without weights.

    `phase` ("prefill" or "decode") and `context` (tokens) are for the networks that have them. Raises InputError.

    >>> build_network("gpt2", phase="decode", context=128).name
    'gpt2-decode'
    """
    if name not in NETWORKS:
        raise InputError("network", name, f"one of {', '.join(network_names())}", "see: picojoule networks")
    network = NETWORKS[name]
    options = {"phase": phase, "context": context}
    for option, value in options.items():
        if value is not None and option not in network.options:
            able = ", ".join(n for n in network_names() if option in NETWORKS[n].options)
            raise InputError(f"--{option}", name, f"a network that has it: {able}", f"leave --{option} out")
    if phase not in (None, "prefill", "decode"):
        raise InputError("--phase", phase, "prefill or decode")
    if context is not None and not 1 <= context <= CONTEXT_LIMIT:
        raise InputError("--context", context, f"1 to {CONTEXT_LIMIT} tokens", "for example --context 1024")
    return network.build(**{option: value for option, value in options.items() if value is not None})
