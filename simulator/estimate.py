"""estimate(model, target): the front door of the simulator, shared by command line, browser and Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..models.compress.post_training import compress_without_training
from ..models.errors import InputError
from ..models.graph import Graph
from ..models.load import LayerModel, load_model
from ..models.model import Model
from .cost import Cost
from .processors import ENERGY_LEVELS, RESIDENCIES, cost
from .target import Target, load_target
from .workload import Overrides, make_workload

__all__ = ["as_model", "estimate", "estimate_many", "parse_bits", "recompress"]

ModelLike = str | os.PathLike[str] | Model | Graph
TargetLike = str | Target


def as_model(model: ModelLike, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Model:
    """A Model from a MODEL string, a path, a Graph, or a Model itself."""
    if isinstance(model, Model):
        return model
    if isinstance(model, Graph):
        return Model(model.name, model)
    return load_model(os.fspath(model), shapes=shapes)


def parse_bits(bits: int | str | None) -> tuple[int | None, int | None]:
    """(weight bits, activation bits) from 6, "6" or "6:8".

    >>> parse_bits("6:8")
    (6, 8)
    """
    if bits is None or not isinstance(bits, str):
        return bits, None
    parts = bits.split(":")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError("--bits", bits, "W or W:A, whole numbers of bits", "for example --bits 8 or --bits 4:8")
    return numbers[0], numbers[1] if len(numbers) == 2 else None


def recompress(model: Model, overrides: Overrides) -> tuple[Model, Overrides]:
    """Real weights pruned by magnitude and shared as asked; what is then real is no override any more.

    Without weights, or with nothing asked, both come back as they were. The error of recompressed
    weights is not known until it is measured, so `accuracy` is dropped.
    """
    asked = overrides.bits is not None or overrides.density is not None
    weights = {name for node in model.graph for role, name in node.parameters.items() if role == "weight"}
    if not asked or not weights or not all(model.graph.parameters[name].known for name in weights):
        return model, overrides
    if overrides.bits is not None and overrides.bits > 16:
        raise InputError("--bits", overrides.bits, "at most 16 bits for shared weights", "leave --bits out for fp32")
    coded = compress_without_training(model.graph, overrides.density, overrides.bits or _current_bits(model))
    return replace(coded, name=model.name, activation_density=model.activation_density,
                   activation_basis=model.activation_basis), replace(
        overrides, bits=None, density=None
    )


def _current_bits(model: Model) -> dict[str, int] | None:
    """Code bits by layer of a model that has shared weights."""
    bits = {
        node.name: model.coded[name].code_bits
        for node in model.graph
        for role, name in node.parameters.items()
        if role == "weight" and name in model.coded
    }
    return bits or None


def estimate(
    model: ModelLike,
    target: TargetLike,
    *,
    batch: int = 1,
    bits: int | str | None = None,
    density: float | None = None,
    act_density: float | None = None,
    format: str | None = None,  # noqa: A002 - the command line's name
    energy: str = "default",
    residency: str = "warm",
    strict: bool = False,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Cost:
    """What one batch of `model` costs on `target`: energy (pJ), latency (s), traffic, size.

    `model` is a name, a file, a layer written out, a Model or a Graph; `target` a name, a TOML file or a
    Target. `bits` are the weights' (or "W:A" with the activations'); `density` prunes real weights by
    magnitude and stands for a uniform random mask where there are none. With `strict`, a layer that the
    target cannot run is an InputError.

    >>> estimate("gemm:M=1,N=4096,K=9216", "core-i7-5930k").totals["macs"]
    37748736
    """
    return estimate_many(
        [model],
        [target],
        batch=batch,
        bits=bits,
        density=density,
        act_density=act_density,
        format=format,
        energy=energy,
        residency=residency,
        strict=strict,
        shapes=shapes,
    )[0]


def estimate_many(
    models: Sequence[ModelLike],
    targets: Sequence[TargetLike],
    *,
    batch: int = 1,
    bits: int | str | None = None,
    density: float | None = None,
    act_density: float | None = None,
    format: str | None = None,  # noqa: A002 - the command line's name
    energy: str = "default",
    residency: str = "warm",
    strict: bool = False,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Cost]:
    """`estimate` of every model on every target, models outermost; each workload is made once."""
    for name, value, allowed in (("--energy", energy, ENERGY_LEVELS), ("--residency", residency, RESIDENCIES)):
        if value not in allowed:
            raise InputError(name, value, f"one of {', '.join(allowed)}")
    weight_bits, activation_bits = parse_bits(bits)
    asked = Overrides(weight_bits, activation_bits, density, act_density, format)
    hardware = [target if not isinstance(target, str) else load_target(target) for target in targets]
    costs = []
    for each in models:
        loaded, overrides = recompress(*_with_layer_settings(as_model(each, shapes), asked))
        workload = make_workload(loaded, batch, overrides)
        costs += [cost(workload, target, energy=energy, residency=residency) for target in hardware]
    if strict:
        for result in costs:
            for layer in result.unmodelled:
                raise InputError(
                    f"--strict: layer {layer.layer}",
                    layer.kind,
                    f"a layer that {result.target.name} runs",
                    layer.reason,
                )
    return costs


def _with_layer_settings(model: Model, asked: Overrides) -> tuple[Model, Overrides]:
    """Settings written into a `gemm:` or `conv:` string hold where the command line says nothing."""
    if not isinstance(model, LayerModel):
        return model, asked
    layer = model.layer
    return model, replace(
        asked,
        bits=layer.bits if asked.bits is None else asked.bits,
        activation_bits=layer.act_bits if asked.activation_bits is None else asked.activation_bits,
        density=layer.density if asked.density is None else asked.density,
        activation_density=layer.act_density if asked.activation_density is None else asked.activation_density,
    )
