"""What a network computes with while it is trained for quantized weights and activations.

Rounding has no gradient; the straight-through estimator passes it (Bengio, Leonard and Courville, 2013). LSQ: Esser et
al., *Learned Step Size Quantization*, ICLR 2020. TTQ: Zhu et al., *Trained Ternary Quantization*, ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from msgspec import UnsetType
from numpy.typing import NDArray
from torch import Tensor

from ..codebooks import grid_codebook
from ..compress.dataset import Data
from ..compress.prune import by_layer, weight_names
from ..compress.quantize import (
    TERNARY_THRESHOLD,
    ActivationRange,
    grid_codes,
    method_at,
    quantized,
)
from ..compress.stage_settings import QuantizeStage
from ..graph import Graph
from ..model import CodedTensor
from .network import Forward, Reads
from .state import State, arrange, image_layout

__all__ = ["Plan", "fake_quantized", "final_codes", "final_ranges", "lsq", "make_plan",
           "quantized_reads", "quantized_weights", "start_quantizing", "ttq"]  # fmt: skip

CALIBRATION_IMAGES = 1024
TTQ_THRESHOLD = 0.05  # of the largest magnitude (Zhu et al., section 3.2)


@dataclass(frozen=True)
class Plan:
    """How each layer is quantized: (parameter, method, bits) by layer, and the settings of all."""

    layers: Mapping[str, tuple[str, str, int]]
    settings: QuantizeStage


def make_plan(graph: Graph, settings: QuantizeStage, coded: set[str]) -> Plan:
    """`method` at its own bits (ternary and ttq 2, binary 1), a uniform grid at others; coded weights stay."""
    names, layers = weight_names(graph), {}
    for layer, bits in by_layer(graph, settings.bits).items():
        if names[layer] not in coded:
            layers[layer] = (names[layer], method_at(settings.method, bits), bits)
    return Plan(layers, settings)


def _through(x: Tensor, rounded: Tensor) -> Tensor:
    """`rounded` forward, the gradient of `x` backward."""
    return x + (rounded - x).detach()


def fake_quantized(x: Tensor, scale: float, zero: int, bits: int) -> Tensor:
    """scale (clip(round(x / scale) + zero, 0, 2^bits - 1) - zero); the gradient passes where nothing is clipped.

    >>> fake_quantized(torch.tensor([-1.0, 0.26, 9.0]), 0.5, 1, 3).tolist()
    [-0.5, 0.5, 3.0]
    """
    low, high = -zero * scale, (2**bits - 1 - zero) * scale
    inside = x.clamp(low, high)
    return _through(inside, (torch.round(x / scale) + zero).clamp(0, 2**bits - 1).sub(zero).mul(scale))


def lsq(x: Tensor, step: Tensor, low: int, top: int) -> Tensor:
    """step x round(clip(x / step, low, top)), with LSQ's gradients (its equations 1 to 5).

    `step`: one, or one for each output, shape [outputs, 1, ...]. d/dstep is -x/step + round(x/step) inside and the
    limit outside, times 1 / sqrt(elements of one step x top) so that steps and weights move alike; d/dx is 1 inside, 0
    outside.

    >>> x, step = torch.tensor([0.6, 9.0], requires_grad=True), torch.tensor(0.5, requires_grad=True)
    >>> lsq(x, step, -4, 3).sum().backward()
    >>> x.grad.tolist(), round(step.grad.item() * 6**0.5, 4)
    ([1.0, 0.0], 2.8)
    """
    share = 1 / float(np.sqrt(x.numel() / step.numel() * max(top, 1)))
    scaled = step * share + (step - step * share).detach()
    ratio = (x / scaled).clamp(low, top)
    return _through(ratio, torch.round(ratio)) * scaled


def ttq(x: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    """plus above 0.05 max |x|, -minus below, else 0; gradients as in TTQ, equations 7 and 8.

    Scales of shape [outputs, 1, ...] hold for one output each, and so does the threshold then. A scale's gradient sums
    those of its weights; a weight's is multiplied by its scale, by 1 where it is 0.
    """
    threshold = _ttq_threshold(x, "channel" if plus.dim() else "tensor")
    above, below = (x > threshold).to(x.dtype), (x < -threshold).to(x.dtype)
    slope = (plus * above + minus * below + (1 - above - below)).detach()
    return plus * above - minus * below + (x * slope - (x * slope).detach())


def _ttq_threshold(x: Tensor, granularity: str) -> Tensor:
    most = TTQ_THRESHOLD * _rows(x, granularity).abs().amax(dim=1)
    return _wide(most, x) if granularity == "channel" else most[0]


def _rows(x: Tensor, granularity: str) -> Tensor:
    return x.detach().reshape(len(x) if granularity == "channel" else 1, -1)


def _wide(scale: Tensor, x: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (x.dim() - 1))


def _uniform(x: Tensor, bits: int, settings: QuantizeStage) -> Tensor:
    if settings.scheme == "affine" and settings.granularity == "channel":
        return _affine_rows(x, bits)
    if settings.scheme == "affine":
        found = ActivationRange.of(float(x.detach().min()), float(x.detach().max()), bits)
        return fake_quantized(x, found.scale, found.zero, bits)
    half = 2 ** (bits - 1) - 1
    most = _rows(x, settings.granularity).abs().amax(dim=1)
    step = _wide(torch.where(most > 0, most / half, torch.ones_like(most)), x)
    return _through(x, torch.round(x / step).clamp(-half, half) * step)


def _affine_rows(x: Tensor, bits: int) -> Tensor:
    """`fake_quantized` with a range for each output; nothing is clipped, as every weight lies in its range."""
    rows, top = _rows(x, "channel").double(), 2**bits - 1
    low, high = rows.amin(dim=1).clamp_max(0), rows.amax(dim=1).clamp_min(0)
    step = ((high - low) / top).float().double()
    step = torch.where(step > 0, step, torch.ones_like(step))
    zero = _wide(torch.round(-low / step).clamp(0, top).float(), x)
    wide = _wide(step.float(), x)
    return _through(x, (torch.round(x / wide) + zero).clamp(0, top).sub(zero).mul(wide))


def _ternary(x: Tensor, settings: QuantizeStage) -> Tensor:
    rows = _rows(x, settings.granularity).abs()
    above = (rows > TERNARY_THRESHOLD * rows.mean(dim=1, keepdim=True)).to(x.dtype)
    scale = (rows * above).sum(dim=1) / above.sum(dim=1).clamp_min(1)
    return _through(x, torch.sign(x) * above.reshape(x.shape) * _wide(scale, x))


def _binary(x: Tensor, settings: QuantizeStage) -> Tensor:
    """The gradient passes up to |w| = 1 (Courbariaux et al., BinaryConnect, 2015)."""
    scale = _wide(_rows(x, settings.granularity).abs().mean(dim=1), x)
    return _through(x.clamp(-1, 1), torch.where(x < 0, -scale, scale))


def quantized_weights(state: State, plan: Plan) -> dict[str, Tensor]:
    """All parameters, those of the plan quantized, differentiable in weights, steps and scales."""
    found = dict(state.weights)
    makers: Mapping[str, Callable[[Tensor, str, int], Tensor]] = {
        "uniform": lambda x, name, bits: _uniform(x, bits, plan.settings),
        "lsq": lambda x, name, bits: lsq(x, state.learned[f"step {name}"], -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        "ternary": lambda x, name, bits: _ternary(x, plan.settings),
        "ttq": lambda x, name, bits: ttq(x, state.learned[f"plus {name}"], state.learned[f"minus {name}"]),
        "binary": lambda x, name, bits: _binary(x, plan.settings),
    }
    for name, method, bits in plan.layers.values():
        found[name] = makers[method](state.weights[name], name, bits)
    return found


def quantized_reads(state: State, then: Reads) -> Reads:
    """What each layer reads, quantized where activations are, and then what `then` makes of it."""
    ranges = state.ranges

    def reads(layer: str, x: Tensor) -> Tensor:
        if layer in ranges:
            found = ranges[layer]
            learned = state.learned.get(f"input step {layer}")
            if learned is None:
                x = fake_quantized(x, found.scale, found.zero, found.bits)
            else:
                x = lsq(x, learned, -found.zero, 2**found.bits - 1 - found.zero)
        return then(layer, x)

    return reads


def final_codes(state: State, plan: Plan, encoding: str) -> dict[str, CodedTensor]:
    """The codes of every layer of the plan, by parameter name: what `quantized_weights` computes with."""
    found = {}
    settings = plan.settings
    for layer, (name, method, bits) in plan.layers.items():
        values, where = state.values(name), f"layer {layer}"
        if method == "lsq":
            learned, half = state.learned[f"step {name}"].detach(), 2 ** (bits - 1)
            step = learned.numpy().copy() if learned.dim() else float(learned)
            found[name] = grid_codes(values, step, bits, encoding, low=-half, top=half - 1)
        elif method == "ttq":
            found[name] = _ttq_codes(state, name, bits, encoding)
        else:
            found[name] = quantized(values, method, bits, settings, encoding, where)
    return found


def _ttq_codes(state: State, name: str, bits: int, encoding: str) -> CodedTensor:
    values = state.weights[name].detach()
    plus, minus = (state.learned[f"{side} {name}"].detach() for side in ("plus", "minus"))
    threshold = _ttq_threshold(values, "channel" if plus.dim() else "tensor")
    codes = torch.where(values > threshold, 1, torch.where(values < -threshold, 2, 0)).numpy().astype(np.uint16)
    if plus.dim():
        scales = np.stack([side.numpy().reshape(-1) for side in (plus, minus)], axis=1)
        return CodedTensor(codes, grid_codebook(1.0, 1, 3), bits, encoding, "channel_sides", scales)
    return CodedTensor(codes, np.array([0, plus, -minus], np.float32), bits, encoding)


def final_ranges(state: State) -> dict[str, ActivationRange]:
    """The integers of what each layer reads, with their learned steps."""
    learned = {layer: state.learned.get(f"input step {layer}") for layer in state.ranges}
    return {
        layer: found if (step := learned[layer]) is None else replace(found, scale=float(step.detach()))
        for layer, found in state.ranges.items()
    }


@torch.no_grad()
def start_quantizing(state: State, plan: Plan, graph: Graph, forward: Forward, data: Data) -> None:
    """Set the first steps and scales, and the ranges of activations by calibration on training images.

    LSQ: step = 2 mean |v| / sqrt(top) (its section 2.1). TTQ: the mean magnitude above the threshold.
    """
    for name, method, bits in plan.layers.values():
        weight = state.weights[name]
        magnitude = _rows(weight, plan.settings.granularity).abs()
        if method == "lsq":
            first = 2 * magnitude.mean(dim=1) / (2 ** (bits - 1) - 1) ** 0.5
            state.learned[f"step {name}"] = _learned(_by_output(first, weight, plan.settings))
        elif method == "ttq":
            above = magnitude * (magnitude > TTQ_THRESHOLD * magnitude.amax(dim=1, keepdim=True))
            count = torch.count_nonzero(above, dim=1)
            first = torch.where(count > 0, above.sum(dim=1) / count.clamp_min(1), torch.ones(len(above)))
            for side in ("plus", "minus"):
                state.learned[f"{side} {name}"] = _learned(_by_output(first, weight, plan.settings))
    settings = plan.settings
    if isinstance(settings.activation_bits, UnsetType):
        return
    learns = settings.method == "lsq"
    for layer, values in _calibration(state, graph, forward, data).items():
        bits = settings.activation_bits
        found = _range(values, settings, bits)
        if learns:
            zero = 0 if float(values.min()) >= 0 else 2 ** (bits - 1)
            top = 2**bits - 1 - zero
            step = 2 * float(np.abs(values).mean()) / top**0.5
            found = ActivationRange(step or 1.0, zero, bits)
            state.learned[f"input step {layer}"] = _learned(torch.tensor(found.scale))
        state.ranges[layer] = found


def _by_output(values: Tensor, weight: Tensor, settings: QuantizeStage) -> Tensor:
    """[outputs, 1, ...], or a scalar for a whole tensor."""
    return _wide(values, weight) if settings.granularity == "channel" else values[0]


def _learned(value: Tensor) -> Tensor:
    return value.detach().clamp_min(1e-8).clone().requires_grad_()


def _calibration(state: State, graph: Graph, forward: Forward, data: Data) -> dict[str, NDArray[np.float32]]:
    """What each layer with weights reads on the first training images."""
    layers, found = set(weight_names(graph)), {}

    def keep(layer: str, x: Tensor) -> Tensor:
        if layer in layers:
            found[layer] = x.detach().numpy().copy()
        return x

    images = torch.from_numpy(data.train.images[:CALIBRATION_IMAGES]).clone()
    forward(arrange(images, image_layout(graph)), state.weights, keep)
    return found


def _range(values: NDArray[np.float32], settings: QuantizeStage, bits: int) -> ActivationRange:
    if settings.calibration == "percentile":
        low, high = np.percentile(values, (100 - settings.percentile, settings.percentile))
        return ActivationRange.of(float(low), float(high), bits)
    return ActivationRange.of(float(values.min()), float(values.max()), bits)
