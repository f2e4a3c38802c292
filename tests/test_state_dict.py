"""Weights beside a network: the values that were saved, in the places they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import picojoule
from picojoule.models.data import load_split
from picojoule.models.errors import FileFormatError, InputError
from picojoule.models.load import load_model
from picojoule.models.run import measure_accuracy, predict

torch = pytest.importorskip("torch")
LENET = "lenet-300-100@deep-compression"


def shipped() -> dict[str, np.ndarray]:
    return {name: np.array(p.values) for name, p in load_model(LENET).graph.parameters.items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_the_shipped_weights_through_each_kind_of_file(suffix: str, tmp_path: Path) -> None:
    """lenet-300-100 with its weights from a file has the error that the .pico states."""
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(shipped(), path)
    elif suffix == ".npz":
        np.savez(path, **shipped())
    else:
        torch.save({name: torch.from_numpy(values) for name, values in shipped().items()}, path)
    model = load_model("lenet-300-100", weights=path)
    accuracy = load_model(LENET).accuracy
    assert accuracy is not None
    assert measure_accuracy(model.graph, load_split("mnist", "test")).error_pct == pytest.approx(accuracy.error_pct)


def test_in_order_with_other_names(tmp_path: Path) -> None:
    torch.save(
        {f"layer.{i}": torch.from_numpy(values) for i, values in enumerate(shipped().values())}, tmp_path / "w.pth"
    )
    model = load_model("lenet-300-100", weights=tmp_path / "w.pth")
    np.testing.assert_array_equal(model.graph.parameters["ip2.weight"].values, shipped()["ip2.weight"])


def test_normalization_statistics_are_folded(tmp_path: Path) -> None:
    """A torch ResNet-like stem: conv, batch norm with random statistics; the output is torch's."""
    from torch import nn

    from picojoule.models.build import GraphBuilder
    from picojoule.models.importers.state_dict import apply_weights, read_weights
    from picojoule.models.zoo.blocks import conv_norm

    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()).eval()
    for tensor in module.buffers():
        if tensor.dtype.is_floating_point:
            tensor.uniform_(0.5, 2)
    torch.save(module.state_dict(), tmp_path / "w.pt")
    net = GraphBuilder("stem", (1, 3, 6, 6))
    conv_norm(net, "stem", 4, 3)
    graph = apply_weights(net.build(), read_weights(tmp_path / "w.pt"), "w.pt")
    x = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        np.testing.assert_allclose(predict(graph, x.numpy()), module(x).numpy(), rtol=1e-4, atol=1e-5)


def test_real_imagenet_weights() -> None:
    """EfficientNet-Lite0 of the [zoo] extra: 4,652,008 real weights; its zeros are counted, not assumed."""
    model = load_model("efficientnet-lite0@imagenet")
    assert model.graph.parameter_count == 4_652_008
    assert model.graph.has_weights
    assert "57934424" in str(model.provenance["weights"])
    cost = picojoule.estimate(model, "generic-45nm", density=0.5, bits=8)
    assert cost.workload.basis == "exact"
    assert 0.49 < cost.totals["weight_density"] < 0.51


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": np.zeros(3, np.float32)}, "1 tensors"),
        ({f"p{i}": np.zeros(3, np.float32) for i in range(6)}, r"p0: got shape \(3,\), wanted \(300, 784\)"),
    ],
)
def test_weights_that_do_not_fit(content: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    save_file(content, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=said):
        load_model("lenet-300-100", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_damaged_files(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"w{suffix}").write_bytes(b"\x80\x04nonsense" * 9)
    with pytest.raises(FileFormatError) as error:
        load_model("lenet-300-100", weights=tmp_path / f"w{suffix}")
    assert "\n" not in str(error.value)


def test_no_pickle_is_run(tmp_path: Path) -> None:
    """A state dict that would run code when unpickled is refused, and nothing runs."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "w.pt")
    with pytest.raises(FileFormatError):
        load_model("lenet-300-100", weights=tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a file ending in"):
        load_model("lenet-5", weights="w.zip")
    with pytest.raises(InputError, match="no such file"):
        load_model("lenet-5", weights=tmp_path / "none.npz")


def test_on_the_command_line(run_python: Callable[..., Any], tmp_path: Path) -> None:
    save_file(shipped(), tmp_path / "w.safetensors")
    done = run_python(
        "-m", "picojoule", "estimate", "lenet-300-100", "--weights", "w.safetensors", "--target", "eie", "--json"
    )
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert totals["weight_density"] == pytest.approx(picojoule.estimate(LENET, "eie").totals["weight_density"])
