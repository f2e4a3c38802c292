"""A whole run on a few images: what it returns and writes, and that interruptions leave no trace in the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from compress_cases import DATA, blobs

pytest.importorskip("torch")

from picojoule.models.build import GraphBuilder
from picojoule.models.compress.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from picojoule.models.compress.dataset import Data, check_data, load_data
from picojoule.models.compress.recipe import EncodeStage, PruneStage, Recipe, ShareStage, TrainStage
from picojoule.models.compress.run import compress
from picojoule.models.errors import FileFormatError, InputError, RecipeError
from picojoule.models.graph import Graph
from picojoule.models.pico import encode_pico, read_pico
from picojoule.models.run import measure_accuracy, measure_activation_density

STEPS = 5  # of an epoch: 160 images in batches of 32
TINY = Recipe(
    name="tiny",
    train=TrainStage(epochs=2, batch_size=32, learning_rate=0.01, dropout={"ip*": 0.2}),
    prune=PruneStage(
        density={"conv*": 0.6, "*": 0.2}, gradual_epochs=1, retraining_epochs=1, batch_size=32, steps_between_masks=2,
        learning_rate=0.01, dropout={"ip*": 0.1}, weight_decay=0.01,
    ),
    share=ShareStage(bits={"*": 3}, epochs=2, batch_size=32, learning_rate=1e-4, optimizer="sgd"),
    encode=EncodeStage(),
)  # fmt: skip


def small_lenet() -> Graph:
    net = GraphBuilder("small-lenet", (1, 1, 12, 12))
    net.conv("conv1", 6, 5)
    net.max_pool("pool1", 2, 2)
    net.flatten("flatten")
    net.gemm("ip1", 30)
    net.relu("relu1")
    net.gemm("ip2", 4)
    return net.build()


class Interrupter:
    """A progress callback that raises KeyboardInterrupt at one step, once, and remembers what it heard."""

    def __init__(self, stage: str, step: int) -> None:
        self.at = (stage, step)
        self.heard: list[tuple[str, int, int]] = []

    def __call__(self, stage: str, step: int, total: int) -> None:
        self.heard.append((stage, step, total))
        if (stage, step) == self.at:
            self.at = ("", 0)
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run that nothing interrupted."""
    file = tmp_path_factory.mktemp("whole") / "x.pico"
    compress(small_lenet(), TINY, output=file, data=DATA)
    assert list(file.parent.iterdir()) == [file]
    return file.read_bytes()


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress after every step, so that a test can stop anywhere."""
    monkeypatch.setattr("picojoule.models.train.stages.PROGRESS_EVERY", 1)


@pytest.mark.parametrize(
    ("stage", "step"),
    [("train", 2), ("train", STEPS), ("train", 2 * STEPS), ("prune", 3), ("prune", STEPS + 1), ("share", 1),
     ("share", STEPS), ("share", STEPS + 3)],
)  # fmt: skip
def test_an_interrupted_run_gives_the_same_bytes(stage: str, step: int, whole: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.pico"
    progress = Interrupter(stage, step)
    with pytest.raises(KeyboardInterrupt):
        compress(small_lenet(), TINY, output=file, data=DATA, progress=progress)
    assert not file.exists()
    # the first epoch leaves nothing behind; every later one finds the one before
    assert (tmp_path / "x.pico.resume").exists() == (stage != "train" or step > STEPS)
    heard = len(progress.heard)
    compress(small_lenet(), TINY, output=file, data=DATA, progress=progress)
    assert file.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [file]
    repeated = [entry for entry in progress.heard[heard:] if entry in progress.heard[:heard]]
    assert len(repeated) == (step - 1) % STEPS + 1  # the broken epoch, and no other, is run again


@pytest.mark.parametrize("epochs", range(1, 7))
def test_a_run_interrupted_between_two_epochs(
    epochs: int, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after the checkpoint of each of the six epochs."""
    saved = 0

    def save_and_stop(*arguments: Any) -> None:
        nonlocal saved
        save_checkpoint(*arguments)
        saved += 1
        if saved == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr("picojoule.models.compress.run.save_checkpoint", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        compress(small_lenet(), TINY, output=tmp_path / "x.pico", data=DATA)
    compress(small_lenet(), TINY, output=tmp_path / "x.pico", data=DATA)
    assert saved == 6
    assert (tmp_path / "x.pico").read_bytes() == whole


def test_interrupted_twice_in_one_run(whole: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.pico"
    for stage, step in (("train", STEPS + 2), ("share", 2)):
        with pytest.raises(KeyboardInterrupt):
            compress(small_lenet(), TINY, output=file, data=DATA, progress=Interrupter(stage, step))
    compress(small_lenet(), TINY, output=file, data=DATA)
    assert file.read_bytes() == whole


def test_the_seed_and_nothing_else_decides(whole: bytes) -> None:
    assert encode_pico(compress(small_lenet(), TINY, data=DATA)) == whole
    assert encode_pico(compress(small_lenet(), TINY, data=DATA, seed=1)) != whole


def test_progress_counts_every_step_of_every_stage_once() -> None:
    progress = Interrupter("", 0)
    compress(small_lenet(), TINY, data=DATA, progress=progress)
    expected = [(stage, step, 2 * STEPS) for stage in ("train", "prune", "share") for step in range(1, 2 * STEPS + 1)]
    assert progress.heard == expected


def test_what_a_run_returns(whole: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.pico"
    file.write_bytes(whole)
    model = read_pico(file)
    assert model.accuracy is not None
    assert (model.accuracy.dataset, model.accuracy.split, model.accuracy.n) == ("blobs", "test", 80)
    assert model.accuracy.error_pct == measure_accuracy(model.graph, DATA.test).error_pct < 50  # chance: 75
    assert model.activation_density == pytest.approx(measure_activation_density(model.graph, DATA.test.images))
    kept = {name: tensor.nonzeros for name, tensor in model.coded.items()}
    assert kept == {"conv1.weight": round(0.6 * 150), "ip1.weight": round(0.2 * 2880), "ip2.weight": round(0.2 * 120)}
    assert all(len(tensor.codebook) <= 8 and tensor.code_bits == 3 for tensor in model.coded.values())
    assert model.file_bytes == len(whole)
    assert {"command", "seed", "recipe", "torch_version", "picojoule_version", "validation_final_error_pct",
            "test_dense_error_pct", "validation_pruned_error_pct"} <= set(model.provenance)  # fmt: skip


def test_the_test_split_changes_no_weight(whole: bytes, tmp_path: Path) -> None:
    other = Data(DATA.train, DATA.validation, blobs(60, "test", 9))
    file = tmp_path / "x.pico"
    file.write_bytes(whole)
    weights, expected = compress(small_lenet(), TINY, data=other).graph.parameters, read_pico(file).graph.parameters
    assert all(np.array_equal(weights[name].values, expected[name].values) for name in expected)


def test_known_weights_are_the_starting_point_and_skip_the_dense_training() -> None:
    first = compress(small_lenet(), TINY, data=DATA)
    progress = Interrupter("", 0)
    again = compress(first.graph, TINY, data=DATA, progress=progress)
    assert {stage for stage, _, _ in progress.heard} == {"prune", "share"}
    assert again.provenance["validation_dense_error_pct"] == first.provenance["validation_final_error_pct"]


def test_another_runs_checkpoint_is_refused_and_kept(tmp_path: Path) -> None:
    file, kept = tmp_path / "x.pico", tmp_path / "x.pico.resume"
    with pytest.raises(KeyboardInterrupt):
        compress(small_lenet(), TINY, output=file, data=DATA, progress=Interrupter("train", STEPS + 1))
    before = kept.read_bytes()
    with pytest.raises(InputError, match=r"of small-lenet, recipe tiny, seed 0, wanted one of .*seed 4; delete"):
        compress(small_lenet(), TINY, output=file, data=DATA, seed=4)
    other = msgspec.structs.replace(TINY, share=msgspec.structs.replace(TINY.share, bits={"*": 4}))
    with pytest.raises(InputError, match="seed 0 with other settings, data or versions"):
        compress(small_lenet(), other, output=file, data=DATA)
    with pytest.raises(InputError, match="with other settings, data or versions"):
        compress(small_lenet(), TINY, output=file, data=Data(DATA.test, DATA.validation, DATA.test))
    assert kept.read_bytes() == before
    kept.write_bytes(before[:-100])
    with pytest.raises(FileFormatError, match=r"a damaged checkpoint, wanted .* delete it to start over"):
        compress(small_lenet(), TINY, output=file, data=DATA)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, b"\x02" + bytes(7) + b"{}"])
def test_files_that_are_no_checkpoint_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.resume"
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"x\.resume: got a damaged checkpoint"):
        load_checkpoint(file, "f", "r")


def test_checkpoints_go_to_disk_and_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array(7, np.uint16)}
    save_checkpoint(tmp_path / "c", Checkpoint("prune", 3, arrays, {"validation_dense": 1.5}), "f", "run")
    found = load_checkpoint(tmp_path / "c", "f", "run")
    assert found is not None
    assert (found.stage, found.epoch, dict(found.errors_pct)) == ("prune", 3, {"validation_dense": 1.5})
    assert all(np.array_equal(found.arrays[name], arrays[name]) for name in arrays)
    assert load_checkpoint(tmp_path / "none", "f", "run") is None


def test_weights_that_are_not_finite_are_refused() -> None:
    graph = small_lenet()
    values = {name: np.ones(p.shape, np.float32) for name, p in graph.parameters.items()}
    values["ip1.weight"][3, 4] = np.nan
    with pytest.raises(InputError, match=r"layer ip1: parameter ip1\.weight: got 1 of 2880 values NaN or infinite"):
        compress(graph.with_parameters(values), TINY, data=DATA)


def test_a_run_that_diverges_says_what_to_change() -> None:
    wild = msgspec.structs.replace(TINY, train=msgspec.structs.replace(TINY.train, learning_rate=10.0, optimizer="sgd"))
    with pytest.raises(RecipeError, match=r"recipe tiny: train.learning_rate: got NaN in .*; lower it"):
        compress(small_lenet(), wild, data=DATA)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0"])
def test_seeds_that_are_none_are_refused(seed: object) -> None:
    with pytest.raises(InputError, match="--seed: got"):
        compress(small_lenet(), TINY, data=DATA, seed=seed)  # type: ignore[arg-type]


def test_data_that_do_not_fit_are_refused() -> None:
    wrong = replace(DATA.train, labels=DATA.train.labels + 1)
    with pytest.raises(InputError, match="blobs, train: labels: got 1 to 4, wanted 0 to 3"):
        compress(small_lenet(), TINY, data=Data(wrong, DATA.validation, DATA.test))
    shape = replace(DATA.test, images=DATA.test.images[:, :, :11])
    with pytest.raises(InputError, match=r"blobs, test: got images \(80, 1, 11, 12\)"):
        check_data(Data(DATA.train, DATA.validation, shape), small_lenet())


def test_data_from_an_npz_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    arrays = {"train_images": np.full((24, 1, 2, 2), 255, np.uint8), "train_labels": np.arange(24),
              "test_images": np.zeros((5, 1, 2, 2)), "test_labels": np.zeros(5, np.uint8)}  # fmt: skip
    np.savez(file, **arrays)
    data = load_data(file)
    assert (len(data.train), len(data.validation), len(data.test)) == (22, 2, 5)
    assert data.validation.labels.tolist() == [11, 23]
    assert data.train.images.max() == 1
    assert data.train.dataset == "mine"
    np.savez(file, train_images=arrays["train_images"])
    with pytest.raises(InputError, match="train_labels: got nothing"):
        load_data(file)
    file.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(FileFormatError, match=r"wanted an \.npz file"):
        load_data(file)


def test_without_torch_the_extra_is_named(run_python: Callable[..., Any]) -> None:
    program = "import sys; sys.modules['torch'] = None; from picojoule.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run_python("-c", program, "compress", "lenet-300-100", "-o", "x.pico")
    assert done.returncode == 1
    assert "compress needs the extra [train]" in done.stderr
    assert "Traceback" not in done.stderr
