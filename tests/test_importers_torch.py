"""PyTorch modules through torch.export: the imported graph computes what the module computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import picojoule  # noqa: E402
from picojoule.models.errors import InputError  # noqa: E402
from picojoule.models.ops import loop_bounds  # noqa: E402
from picojoule.models.run import Runner  # noqa: E402


class Residual(nn.Module):
    """Convolution, normalization, depthwise, shortcut, squeeze and excitation, pooling, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu6(self.norm(self.stem(x)))
        y = nn.functional.silu(self.depthwise(x)) + x
        y = y * torch.sigmoid(self.squeeze(nn.functional.adaptive_avg_pool2d(y, 1)))
        y = nn.functional.max_pool2d(nn.functional.leaky_relu(y, 0.2), 2)
        left, right = torch.chunk(y, 2, dim=1)
        y = torch.cat([right, left * 0.5], dim=1)
        return self.head(y.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, **masks: Any) -> None:
        super().__init__()
        self.masks = masks
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = (part.view(n, t, 4, 4).transpose(1, 2) for part in self.qkv(self.norm(x)).split(16, dim=-1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, **self.masks)
        return x + nn.functional.gelu(self.out(y.transpose(1, 2).reshape(n, t, c)))


def prepared(module: nn.Module) -> nn.Module:
    """Statistics and weights that are not their defaults."""
    torch.manual_seed(1)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dtype.is_floating_point:
            tensor.data = torch.rand_like(tensor) + 0.1
    return module.eval()


def compare(module: nn.Module, *shape: int) -> Any:
    x = torch.rand(*shape)
    model = picojoule.from_torch(module, (x,))
    with torch.no_grad():
        wanted = module(x).numpy()
    np.testing.assert_allclose(Runner(model.graph).run(x.numpy())[0], wanted, rtol=1e-3, atol=1e-4)
    return model.graph


def macs(graph: Any) -> int:
    return sum(bounds.macs for node in graph if (bounds := loop_bounds(graph, node)))


def test_a_convolutional_network() -> None:
    """stem 8 x 3 x 9 x 64, depthwise 8 x 9 x 64, two 1x1 of 64 and 40 products, by hand."""
    graph = compare(prepared(Residual()), 1, 3, 16, 16)
    assert macs(graph) == 8 * 3 * 9 * 64 + 8 * 9 * 64 + 64 + 40
    names = {name.removesuffix(".folded") for name in graph.parameters if not name.endswith("operand")}
    assert names == {"stem.weight", "norm.weight", "norm.bias", "depthwise.weight", "depthwise.bias", "squeeze.weight",
                     "squeeze.bias", "head.weight", "head.bias"}  # fmt: skip


def test_attention() -> None:
    """Per token 16 x 48 + 16 x 16; 4 heads of 6 x 6 x 4 products twice."""
    graph = compare(prepared(Attention()), 1, 6, 16)
    assert macs(graph) == 6 * (16 * 48 + 16 * 16) + 2 * 4 * 6 * 6 * 4


def test_masked_attention() -> None:
    """A causal mask, and a mask of floats that is added: both give what PyTorch gives."""
    compare(prepared(Attention(is_causal=True)), 1, 6, 16)
    compare(prepared(Attention(attn_mask=torch.linspace(-2, 2, 36).reshape(6, 6), scale=0.3)), 1, 6, 16)


def test_a_sequential_in_training_mode_stays_in_it() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 3), nn.Softmax(-1))
    module.train()
    graph = picojoule.from_torch(module, torch.rand(1, 3, 4), name="mlp").graph
    assert module.training
    assert graph.name == "mlp"
    assert graph.parameter_count == 12 * 7 + 7 + 7 * 3 + 3


def test_what_is_unknown_is_named() -> None:
    """A cumulative sum has no model here: opaque, in `unmodelled`, never free."""

    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.relu(torch.cumsum(x, 1))

    cost = picojoule.estimate(picojoule.from_torch(Odd(), (torch.rand(1, 4),)), "generic-45nm")
    assert [layer.kind for layer in cost.unmodelled] == ["opaque:aten.cumsum.default"]


def test_a_module_can_be_costed() -> None:
    cost = picojoule.estimate(picojoule.from_torch(nn.Linear(64, 10), (torch.rand(1, 64),)), "eie")
    assert cost.totals["macs"] == 640


def test_wrong_things_are_one_line() -> None:
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        picojoule.from_torch("a path", ())
    with pytest.raises(InputError, match=r"torch\.export can trace"):
        picojoule.from_torch(nn.Linear(4, 2), (torch.rand(1, 5),))


def test_without_torch_the_extra_is_named(run_python: Callable[..., Any]) -> None:
    program = "import sys; sys.modules['torch'] = None; import picojoule; picojoule.from_torch(None, ())"
    done = run_python("-c", program)
    assert "needs the extra [train]" in done.stderr
