"""Structured pruning: whole channels and neurons are taken out, and the network becomes smaller.

Li et al., *Pruning Filters for Efficient ConvNets*, ICLR 2017: filters with the smallest sums of magnitudes go, with
their outputs, the normalization of those, and the next layer's weights that read them. Where branches meet in an add,
the same channels go on all of them, chosen by the sum of their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import AttributeValue, Graph, Node, Parameter, TensorSpec
from ..ops import infer_output
from .channels import ChannelGroup, Channels, find_channels, is_depthwise
from .prune import by_layer, check_finite, kept_count, weight_names

__all__ = ["Criterion", "Shrunk", "choose_channels", "mask_channels", "shrink", "shrink_to"]

Criterion = Literal["l1", "l2", "random"]
Kept = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The smaller network, and the channels that stayed: indices into the old outputs, by layer."""

    graph: Graph
    kept: Kept


def shrink(graph: Graph, keep: float | Mapping[str, float], criterion: Criterion = "l1", seed: int = 0) -> Shrunk:
    """Take out the channels of smallest score, a fraction `keep` of each layer's stays (at least one).

    Its outputs equal those of `mask_channels` with the same channels, up to the order of sums. See `choose_channels`
    for the choice and the errors.

    >>> from ..zoo import build_network
    >>> small = shrink(build_network("lenet-5"), {"conv*": 0.5, "ip1": 0.2}).graph
    >>> [small.parameters[f"{layer}.weight"].shape for layer in ("conv1", "conv2", "ip1", "ip2")]
    [(10, 1, 5, 5), (25, 10, 5, 5), (100, 400), (10, 100)]
    """
    kept = choose_channels(graph, keep, criterion, seed)
    return Shrunk(shrink_to(graph, kept), kept)


def choose_channels(
    graph: Graph, keep: float | Mapping[str, float], criterion: Criterion = "l1", seed: int = 0
) -> dict[str, NDArray[np.int64]]:
    """The channels that stay, ascending, by layer; layers that lose none are left out.

    `keep`: one fraction, or by layer name or pattern. A channel's score is the sum over the layers that make it of
    sum |w| ("l1") or sqrt(sum w^2) ("l2") of its filter; of equal scores the first stays. "random" is the control.
    Without weights the first channels stay: shapes need no choice. Raises InputError for a layer whose channels must
    stay and which is named outright (a pattern passes it over), for branches of an add with different fractions, and
    for weights that are not finite.
    """
    wanted = by_layer(graph, keep)
    named = set(keep) if isinstance(keep, Mapping) else set()
    chosen: dict[str, NDArray[np.int64]] = {}
    groups = find_channels(graph).groups()
    _check_named(graph, named, wanted, groups)
    for number, group in enumerate(groups):
        fractions = {layer: wanted[layer] for layer in group.producers if layer in wanted}
        if group.fixed or not fractions:
            continue
        if len(fractions) < len(group.producers) or len(set(fractions.values())) > 1:
            got = ", ".join(f"{layer} {fractions.get(layer, 'nothing')}" for layer in group.producers)
            raise InputError("structured.keep", got, "one fraction for layers whose channels an add joins",
                             f"name all of {', '.join(group.producers)}")  # fmt: skip
        count = max(1, kept_count(group.size, next(iter(fractions.values()))))
        if count < group.size:
            scores = _scores(graph, group, criterion, (seed, number))
            stay = np.sort(np.argsort(-scores, kind="stable")[:count])
            chosen |= dict.fromkeys(group.producers, stay)
    return chosen


def _check_named(
    graph: Graph, named: set[str], wanted: Mapping[str, float], groups: tuple[ChannelGroup, ...]
) -> None:
    makers = {layer: group for group in groups for layer in group.producers}
    for layer in sorted(named & set(wanted)):
        if wanted[layer] < 1 and (layer not in makers or makers[layer].fixed):
            why = makers[layer].fixed if layer in makers else "its channels are tied to what it reads"
            movable = [name for name, group in makers.items() if not group.fixed]
            raise InputError(f"structured.keep.{layer}", f"channels that must stay: {why}",
                             f"a layer among {', '.join(movable) or '(none)'}")  # fmt: skip


def _scores(graph: Graph, group: ChannelGroup, criterion: Criterion, seed: tuple[int, int]) -> NDArray[np.float64]:
    if criterion not in ("l1", "l2", "random"):
        raise InputError("structured.criterion", criterion, "l1, l2 or random")
    total = np.zeros(group.size)
    if criterion == "random":
        return np.random.default_rng(seed).permutation(group.size).astype(np.float64)
    names = weight_names(graph)
    for layer in group.producers:
        values = graph.parameters[names[layer]].values
        if values is not None:
            check_finite(values, f"layer {layer}")
            flat = values.reshape(group.size, -1).astype(np.float64)
            total += np.abs(flat).sum(1) if criterion == "l1" else np.sqrt((flat**2).sum(1))
    return total


@dataclass(frozen=True, eq=False)
class _Cut:
    """What stays of one parameter: rows of axis 0, and places on axis 1 (None: all)."""

    rows: NDArray[np.int64] | None = None
    columns: NDArray[np.int64] | None = None


def _by_group(channels: Channels, kept: Kept) -> dict[int, NDArray[np.int64]]:
    """Channels that stay by group; every layer of a group must agree, and none of it may be fixed."""
    found: dict[int, NDArray[np.int64]] = {}
    for layer, stay in kept.items():
        if layer not in channels.producers:
            raise InputError(f"layer {layer}", "no channels of its own", f"one of {', '.join(channels.producers)}")
        group = channels.root(channels.producers[layer])
        order = np.asarray(stay, np.int64)
        size, fixed = channels.sizes[group], channels.reasons.get(group, "")
        if fixed and len(order) < size:
            raise InputError(f"layer {layer}", f"channels that must stay: {fixed}", "layers that can lose some")
        if order.ndim != 1 or not len(order) or (np.diff(order) <= 0).any() or order[0] < 0 or order[-1] >= size:
            raise InputError(f"layer {layer}", f"channels {order}", f"ascending numbers in 0..{size - 1}, at least one")
        if group in found and not np.array_equal(found[group], order):
            raise InputError(f"layer {layer}", "other channels than the branch it is added to", "the same channels")
        found[group] = order
    return found


def _cuts(graph: Graph, channels: Channels, groups: dict[int, NDArray[np.int64]]) -> dict[str, _Cut]:
    """What stays of each parameter that loses something."""
    cuts: dict[str, _Cut] = {}
    for node in graph:
        own = channels.producers.get(node.name)
        rows = groups.get(channels.root(own)) if own is not None else None
        columns = channels.elements(node.inputs[0], groups) if node.inputs[0] in channels.layouts else None
        if node.op in ("conv", "gemm") and own is not None:
            cuts[node.parameters["weight"]] = _Cut(rows, columns)
        elif node.op == "batch_normalization" or (node.op == "conv" and is_depthwise(graph, node)):
            rows = columns
            cuts |= {name: _Cut(rows) for name in node.parameters.values()}
        if "bias" in node.parameters and rows is not None:
            cuts[node.parameters["bias"]] = _Cut(rows)
    return cuts


def shrink_to(graph: Graph, kept: Kept) -> Graph:
    """The network with only these channels of these layers: shapes, parameters and following layers cut to them.

    `kept` as `choose_channels` gives it. Raises InputError for channels that must stay or do not exist.
    """
    channels = find_channels(graph)
    groups = _by_group(channels, kept)
    parameters = dict(graph.parameters)
    for name, cut in _cuts(graph, channels, groups).items():
        parameters[name] = _cut_parameter(parameters[name], cut)
    tensors = {name: graph.tensors[name] for name in graph.inputs}
    nodes = []
    for node in graph:
        changed = _regrouped(graph, node, parameters)
        inputs = tuple(tensors[name] for name in node.inputs)
        roles = {role: parameters[name] for role, name in node.parameters.items()}
        tensors[node.output] = TensorSpec(infer_output(changed, inputs, roles), graph.tensors[node.output].bits)
        nodes.append(changed)
    return replace(graph, nodes=tuple(nodes), tensors=tensors, parameters=parameters)


def _cut_parameter(parameter: Parameter, cut: _Cut) -> Parameter:
    rows = cut.rows if cut.rows is not None else np.arange(parameter.shape[0])
    columns = cut.columns if cut.columns is not None or len(parameter.shape) < 2 else np.arange(parameter.shape[1])
    shape = (len(rows), *((len(columns), *parameter.shape[2:]) if columns is not None else parameter.shape[1:]))
    values = parameter.values
    if values is not None:
        values = np.ascontiguousarray(values[rows] if columns is None else values[rows][:, columns])
    return Parameter(shape, parameter.bits, values)


def _regrouped(graph: Graph, node: Node, parameters: Mapping[str, Parameter]) -> Node:
    if node.op != "conv" or not is_depthwise(graph, node):
        return node
    attributes: dict[str, AttributeValue] = dict(node.attributes)
    attributes["groups"] = parameters[node.parameters["weight"]].shape[0]
    return replace(node, attributes=attributes)


def mask_channels(graph: Graph, kept: Kept) -> Graph:
    """The same network with everything that makes the other channels set to 0: what `shrink_to` has to equal.

    Raises InputError as `shrink_to` does, and without weights.
    """
    channels = find_channels(graph)
    values = {}
    for name, cut in _cuts(graph, channels, _by_group(channels, kept)).items():
        array = graph.parameters[name].values
        if array is None:
            raise InputError(f"tensor {name}", "a shape without values", "weights")
        if cut.rows is not None:
            masked = np.zeros_like(array)
            masked[cut.rows] = array[cut.rows]
            values[name] = masked
    return graph.with_parameters(values)
