"""Networks by name, and the compressed weights that ship with the package."""

from .names import NETWORKS, Network, build_network, network_names

__all__ = ["NETWORKS", "Network", "build_network", "network_names"]
