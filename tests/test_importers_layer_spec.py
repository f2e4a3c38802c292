"""Layers written out: shapes and MACs by hand, and one line for each way to write one wrongly."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from picojoule.models.errors import InputError, PicojouleError
from picojoule.models.importers import is_layer_spec, parse_layer_spec
from picojoule.models.ops import LoopBounds, loop_bounds


def bounds_of(text: str) -> LoopBounds:
    graph = parse_layer_spec(text).graph
    found = loop_bounds(graph, graph.nodes[0])
    assert found is not None
    return found


def test_alexnet_fc6_by_hand() -> None:
    """9216 inputs, 4096 outputs: 37,748,736 products (Krizhevsky et al. 2012); M is the batch."""
    graph = parse_layer_spec("gemm:M=16,N=4096,K=9216").graph
    assert graph.tensors[graph.inputs[0]].shape == (16, 9216)
    assert graph.tensors[graph.outputs[0]].shape == (16, 4096)
    assert graph.parameters["gemm.weight"].shape == (4096, 9216)
    assert not graph.has_weights
    assert bounds_of("gemm:M=16,N=4096,K=9216") == LoopBounds(N=16, K=4096, C=9216)
    assert bounds_of("gemm:N=4096,K=9216").macs == 37_748_736


def test_resnet_stem_by_hand() -> None:
    """64 x 3 x 7 x 7 over 112 x 112 outputs: 118,013,952 products (He et al. 2016)."""
    bounds = bounds_of("conv:N=1,K=64,C=3,H=224,W=224,R=7,S=7,stride=2,pad=3")
    assert bounds == LoopBounds(N=1, K=64, C=3, P=112, Q=112, R=7, S=7, stride=(2, 2))
    assert bounds.macs == 118_013_952


def test_depthwise_and_dilated_by_hand() -> None:
    """32 groups of one channel: 32 x 9 x 112^2; dilation 2 stretches 3 rows over 5: 14 - 4 = 10 outputs."""
    assert bounds_of("conv:K=32,C=32,H=112,W=112,R=3,S=3,pad=1,groups=32").macs == 32 * 9 * 112 * 112
    assert bounds_of("conv:K=1,C=1,H=14,W=14,R=3,S=3,dilation=2").P == 10


def test_settings_are_kept() -> None:
    spec = parse_layer_spec("gemm: N=10, K=100, bits=4, act_bits=8, density=0.25, act_density=1e-1")
    assert (spec.bits, spec.act_bits, spec.density, spec.act_density) == (4, 8, 0.25, 0.1)
    plain = parse_layer_spec("gemm:N=10,K=100")
    assert (plain.bits, plain.act_bits, plain.density, plain.act_density) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gemm:M=1,N=4096", "K: got no value, wanted K=SIZE; for example gemm:M=1,N=4096,K=9216"),
        ("conv:K=1,C=1,H=4,W=4,R=3", "S: got no value"),
        ("gemm:N=0,K=1", "N: got 0, wanted a whole number from 1 to 2147483648"),
        ("gemm:N=1,K=2.5", "K: got 2.5, wanted a whole number"),
        ("gemm:N=1,K=-1", "K: got -1"),
        ("gemm:N=1,K=2147483649", "K: got 2147483649"),
        ("gemm:N=1,K=" + "9" * 5000, "wanted a whole number"),
        ("gemm:N=1,K=٣", "K: got"),
        ("gemm:N=1048577,K=1048576", "the weight of 1099512676352 elements"),
        ("gemm:M=1048577,N=1,K=1048576", "the input of 1099512676352 elements"),
        ("gemm:M=1048577,N=1048576,K=1", "the output of 1099512676352 elements"),
        ("gemm:N=1,K=2,stride=2", "stride: got an unknown key, wanted one of N, K, M, bits"),
        ("gemm:N=1,N=2,K=2", "N: got two values"),
        ("gemm:N=1,K", "got K, wanted KEY=VALUE"),
        ("gemm:", "got an empty setting"),
        ("gemm:N=1,K=1,", "got an empty setting"),
        ("gemm:N=1,K=1,bits=33", "bits: got 33, wanted a whole number from 1 to 32"),
        ("gemm:N=1,K=1,density=0", "density: got 0, wanted a fraction above 0"),
        ("gemm:N=1,K=1,density=1.01", "density: got 1.01"),
        ("gemm:N=1,K=1,act_density=nan", "act_density: got nan"),
        ("gemm:N=1,K=1,density=1e-999", "density: got 1e-999"),
        ("conv:K=3,C=4,H=8,W=8,R=3,S=3,groups=2", "K: got 3, wanted a multiple of groups = 2"),
        ("conv:K=4,C=3,H=8,W=8,R=3,S=3,groups=2", "C: got 3, wanted a multiple of groups = 2"),
        ("conv:K=1,C=1,H=4,W=4,R=5,S=5", "wanted a window that fits its input"),
        ("lstm:N=1", "wanted gemm: or conv:"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_layer_spec(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="gemconv:MNKCHWRS=,0123456789.e-bitsdy_ \n\0é", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for start in ("", "gemm:", "conv:", "gemm:N=1,K=2,"):
        try:
            parse_layer_spec(start + text)
        except PicojouleError as error:
            message = str(error)
            if "\n" in message:
                pytest.fail(message)


def test_what_counts_as_a_layer() -> None:
    assert is_layer_spec("gemm:N=1")
    assert not is_layer_spec("gemm")
    assert not is_layer_spec("gemm.onnx")
    assert not is_layer_spec("lenet-5")
