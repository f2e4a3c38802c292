"""The loops of a layer that multiplies and accumulates.

Names are the field's: batch N, output channels K, input channels per group C, output rows and columns
P Q, kernel rows and columns R S, groups.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoopBounds"]


@dataclass(frozen=True)
class LoopBounds:
    """The seven loops of a convolution; a matrix product has P = Q = R = S = 1.

    K counts the output channels of all groups, C the input channels of one group, so that
    `macs = N K C P Q R S` (products of the dense layer, zero padding counted, bias not). A third spatial
    axis is folded into P and R. A transposed convolution multiplies at every input position: its P and Q
    are the input's rows and columns.

    >>> LoopBounds(N=1, K=20, C=1, P=24, Q=24, R=5, S=5).macs
    288000
    """

    N: int = 1
    K: int = 1
    C: int = 1
    P: int = 1
    Q: int = 1
    R: int = 1
    S: int = 1
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)

    @property
    def macs(self) -> int:
        return self.N * self.K * self.C * self.P * self.Q * self.R * self.S

    @property
    def weight_elements(self) -> int:
        return self.K * self.C * self.R * self.S
