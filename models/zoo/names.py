"""The table of networks that have a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import InputError
from ..graph import Graph
from .lenet import lenet_5, lenet_300_100

__all__ = ["NETWORKS", "Network", "build_network", "network_names"]


@dataclass(frozen=True)
class Network:
    """How to build a network, what it is trained on, and where its definition comes from."""

    name: str
    build: Callable[[], Graph]
    dataset: str
    source: str


NETWORKS: Mapping[str, Network] = {
    network.name: network
    for network in (
        Network("lenet-300-100", lenet_300_100, "mnist", "LeCun et al. 1998; Han et al., ICLR 2016, Table 2"),
        Network("lenet-5", lenet_5, "mnist", "Caffe's lenet_train_test; Han et al., ICLR 2016, Table 3"),
    )
}


def network_names() -> list[str]:
    return sorted(NETWORKS)


def build_network(name: str) -> Graph:
    """The dense fp32 graph of a named network, without weights."""
    if name not in NETWORKS:
        raise InputError("network", name, f"one of {', '.join(network_names())}", "see: picojoule networks")
    return NETWORKS[name].build()
