"""A module of one's own, with a loss and batches of one's own."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from picojoule.models.compress.recipe import Recipe  # noqa: E402
from picojoule.models.errors import InputError, RecipeError  # noqa: E402
from picojoule.models.pico import decode_pico, encode_pico  # noqa: E402
from picojoule.models.run import predict  # noqa: E402
from picojoule.models.train import compress_module  # noqa: E402

STAGES = {
    "train": {"epochs": 30, "batch_size": 1, "learning_rate": 0.01},
    "prune": {"density": {"*": 0.5}, "gradual_epochs": 5, "retraining_epochs": 10, "steps_between_masks": 2,
              "learning_rate": 0.01},
    "share": {"bits": {"*": 4}, "epochs": 5, "learning_rate": 1e-3},
}  # fmt: skip


class Residual(torch.nn.Module):
    """A regression network with a skip, a normalization and an activation that the trainer of Graphs does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 24), torch.nn.Linear(24, 24)
        self.norm, self.last = torch.nn.LayerNorm(24), torch.nn.Linear(24, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.gelu(self.first(x))
        return self.last(self.norm(hidden + torch.tanh(self.second(hidden))))


def batches(n: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(32, 6, generator=generator) for _ in range(n)]
    return [(x, torch.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]) for x in inputs]


def squared(module: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return (module(batch[0]) - batch[1]).square().mean()


def recipe(**changes: dict) -> Recipe:
    return msgspec.convert({"name": "mine", **STAGES, **changes}, Recipe)


def test_a_regression_network_is_compressed_and_runs_from_its_file() -> None:
    torch.manual_seed(0)
    module, data, heard = Residual(), batches(), []
    before = float(squared(module, data[0]).detach())
    model = compress_module(module, torch.zeros(1, 6), squared, data, recipe(), progress=lambda *a: heard.append(a))
    assert {name: tensor.nonzeros for name, tensor in model.coded.items()} == {
        "first.weight": 72, "second.weight": 288, "last.weight": 12,
    }  # fmt: skip
    assert all(len(tensor.codebook) <= 16 for tensor in model.coded.values())
    again = decode_pico(encode_pico(model), "x.pico")
    x, y = data[0]
    wanted = module(x).detach().numpy()
    found = np.concatenate([predict(again.graph, x[i : i + 1].numpy()) for i in range(4)])
    assert found == pytest.approx(wanted[:4], abs=1e-4)
    assert float(((wanted - y.numpy()) ** 2).mean()) < before / 3
    assert heard[0] == ("train", 1, 240)
    assert heard[-1] == ("share", 40, 40)


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run() -> bytes:
        torch.manual_seed(0)
        return encode_pico(compress_module(Residual(), torch.zeros(1, 6), squared, batches(2), recipe()))

    assert run() == run()


class Noisy(torch.nn.Module):
    """Running statistics and dropout: state beside the weights, and random numbers in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.nn.functional.dropout(self.norm(self.first(x)).relu(), 0.2, self.training))


def noisy_run(checkpoint: Path | None = None, stop: tuple[str, int] | None = None, start: int = 0) -> bytes:
    """A run whose batches a DataLoader shuffles; `stop` interrupts it behind that step of that stage."""
    def tell(stage: str, step: int, _: int) -> None:
        if (stage, step) == stop:
            raise KeyboardInterrupt

    torch.manual_seed(start)
    module, pairs = Noisy(), list(zip(*batches(1)[0], strict=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8, shuffle=True)  # type: ignore[arg-type]
    short = recipe(train={"epochs": 2, "learning_rate": 0.01},
                   prune={**STAGES["prune"], "gradual_epochs": 2, "retraining_epochs": 1})  # fmt: skip
    return encode_pico(compress_module(module, torch.zeros(2, 6), squared, loader, short, progress=tell,
                                       checkpoint=checkpoint))  # fmt: skip


@pytest.mark.parametrize("stop", [("train", 6), ("prune", 2), ("prune", 8), ("prune", 12), ("share", 1), ("share", 20)])
def test_a_killed_run_goes_on_to_the_same_bytes(stop: tuple[str, int], tmp_path: Path) -> None:
    """Whatever torch's generator and the module's weights are when it goes on."""
    file, whole = tmp_path / "run.resume", noisy_run()
    with pytest.raises(KeyboardInterrupt):
        noisy_run(file, stop)
    assert file.exists()
    assert noisy_run(file, start=9) == whole
    assert not file.exists()


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.resume"
    with pytest.raises(KeyboardInterrupt):
        noisy_run(file, ("prune", 5))
    with pytest.raises(InputError, match=r"run\.resume: got a checkpoint of a module, recipe mine, seed 0 with other"):
        compress_module(Residual(), torch.zeros(1, 6), squared, batches(4), recipe(), checkpoint=file)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    module = Residual()
    with pytest.raises(RecipeError, match=r"recipe mine: got \[structured\], wanted train, prune, share"):
        compress_module(module, torch.zeros(1, 6), squared, batches(1),
                        recipe(structured={"keep": {"*": 1.0}, "epochs": 1}))  # fmt: skip
    with pytest.raises(RecipeError, match="got no batches"):
        compress_module(module, torch.zeros(1, 6), squared, [], recipe())
    with pytest.raises(InputError, match="loss_fn: train, step 0: got NaN or infinity"):
        compress_module(module, torch.zeros(1, 6), lambda m, b: squared(m, b) * torch.nan, batches(1), recipe())
    class Long(list):
        def __len__(self) -> int:
            return 2

    with pytest.raises(InputError, match="batches: got 3 of them, wanted 2, as"):
        compress_module(module, torch.zeros(1, 6), squared, Long(batches(3)), recipe())
    with pytest.raises(InputError, match=r"parameter first\.weight: got torch\.float64 on cpu, wanted torch\.float32"):
        compress_module(Residual().double(), torch.zeros(1, 6).double(), squared, batches(1), recipe())
    with torch.no_grad():
        module.second.weight[0, 0] = torch.inf
    with pytest.raises(InputError, match=r"layer linear_1 \(second\.weight\): got 1 of 576 values NaN or infinite"):
        compress_module(module, torch.zeros(1, 6), squared, batches(1), recipe())
