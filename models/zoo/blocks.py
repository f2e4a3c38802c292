"""What convolutional networks are made of: convolution, normalization, activation; squeeze and excitation."""

from __future__ import annotations

from ..build import GraphBuilder

__all__ = ["classifier", "conv_norm", "divisible", "inverted_residual", "squeeze_excite"]


def divisible(channels: float, by: int = 8) -> int:
    """Channels rounded to a multiple, never more than a tenth down (MobileNet's rule).

    >>> divisible(32 * 0.75), divisible(11.3)
    (24, 16)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def conv_norm(
    net: GraphBuilder, name: str, channels: int, kernel: int | tuple[int, int] = 1, *, stride: int = 1, groups: int = 1,
    act: str | None = "relu", pad: int | tuple[int, int, int, int] | str | None = None, bias: bool = False,
    source: str | None = None,
) -> str:  # fmt: skip
    """Convolution, batch normalization, activation; padded to keep its size at stride 1 where `pad` is None."""
    side = (kernel if isinstance(kernel, int) else max(kernel)) // 2
    net.conv(f"{name}.conv", channels, kernel, stride=stride, pad=side if pad is None else pad, groups=groups,
             bias=bias, source=source)  # fmt: skip
    out = net.norm(f"{name}.norm")
    return net.add(act, f"{name}.{act}") if act else out


def squeeze_excite(net: GraphBuilder, name: str, squeezed: int, *, act: str = "relu", gate: str = "sigmoid") -> str:
    """Channels weighted by two small layers on their means (Hu et al., CVPR 2018)."""
    source, channels = net.last, net.shape()[1]
    net.add("global_average_pool", f"{name}.pool")
    net.conv(f"{name}.fc1", squeezed, 1)
    net.add(act, f"{name}.{act}")
    net.conv(f"{name}.fc2", channels, 1)
    net.add(gate, f"{name}.{gate}")
    return net.add("multiply", f"{name}.scale", (source, net.last))


def inverted_residual(
    net: GraphBuilder, name: str, out: int, *, expanded: int, kernel: int = 3, stride: int = 1, act: str = "relu6",
    squeezed: int = 0, se_act: str = "relu", gate: str = "sigmoid", pad: str | None = None,
) -> str:  # fmt: skip
    """Expand, depthwise, (squeeze and excite,) project; a shortcut where the shape stays (Sandler et al., 2018)."""
    source = net.last
    if expanded != net.shape()[1]:
        conv_norm(net, f"{name}.expand", expanded, act=act)
    conv_norm(net, f"{name}.depthwise", expanded, kernel, stride=stride, groups=expanded, act=act,
              pad=pad)  # fmt: skip
    if squeezed:
        squeeze_excite(net, f"{name}.se", squeezed, act=se_act, gate=gate)
    projected = conv_norm(net, f"{name}.project", out, act=None)
    if net.shape(source) == net.shape(projected):
        return net.add("add", f"{name}.add", (source, projected))
    return projected


def classifier(net: GraphBuilder, classes: int, name: str = "fc") -> str:
    """Mean over the image, one fully connected layer."""
    net.add("global_average_pool", "pool")
    net.flatten("flatten")
    return net.gemm(name, classes)
