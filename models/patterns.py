"""Patterns that a seed regenerates bit for bit, on any machine, from any version of any library: no index is stored.

The numbers are those of SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA
2014), the generator that seeds others: output i of a seed is a mix of seed + (i + 1) x 0x9E3779B97F4A7C15 (mod 2^64).
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["expander_connections", "expander_mask", "hashed_buckets", "layer_seed", "splitmix64"]

INCREMENT = np.uint64(0x9E3779B97F4A7C15)
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
KEYS_AT_ONCE = 1 << 22


def splitmix64(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """Outputs `first` to `first` + `count` - 1 of SplitMix64 started at `seed`, shape [count].

    >>> splitmix64(1234567, 0, 2).tolist()
    [6457827717110365317, 3203168211198807973]
    """
    z = np.arange(first + 1, first + count + 1, dtype=np.uint64) * INCREMENT + np.uint64(seed)
    for shift, factor in MIX:
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(31))


def layer_seed(seed: int, layer: str) -> int:
    """A seed of 32 bits for one layer of a run: FNV-1a of its name (Fowler, Noll, Vo), mixed with the run's seed.

    >>> layer_seed(0, "ip1") != layer_seed(0, "ip2"), layer_seed(0, "ip1") != layer_seed(1, "ip1")
    (True, True)
    """
    digest = 0xCBF29CE484222325
    for byte in layer.encode():
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return int(splitmix64((digest + seed) % 2**64, 0, 1)[0] >> np.uint64(32))


def expander_connections(outputs: int, inputs: int, degree: int, seed: int) -> NDArray[np.int64]:
    """The inputs that each output reads, ascending, shape [outputs, degree]: a random regular bipartite graph.

    Prabhu, Varma, Namboodiri, *Deep Expander Networks*, ECCV 2018. Each output has `degree` inputs, no input twice, and
    the outputs that inputs have differ by at most 1. Built as follows: permutations of the inputs are written one
    behind the other; number k sorts the inputs by outputs k x inputs to (k + 1) x inputs - 1 of `splitmix64(seed)`,
    equal ones by number. Output r reads entries r x degree to (r + 1) x degree - 1. Where these reach from one
    permutation into the next, the first entries of the next that are not among its own move, in order, to the front.

    >>> expander_connections(4, 6, 3, 7).tolist()
    [[0, 1, 5], [2, 3, 4], [1, 2, 4], [0, 3, 5]]
    """
    if not (outputs > 0 and 0 < degree <= inputs):
        raise InputError("expander.degree", degree, f"1 to {inputs}, the layer's inputs")
    if degree == inputs:
        return np.broadcast_to(np.arange(inputs), (outputs, inputs)).copy()
    rounds = -(-outputs * degree // inputs)
    entries = np.empty((rounds, inputs), np.int64)
    step = max(1, KEYS_AT_ONCE // inputs)
    for start in range(0, rounds, step):
        some = min(step, rounds - start)
        keys = splitmix64(seed, start * inputs, some * inputs).reshape(some, inputs)
        entries[start : start + some] = np.argsort(keys, axis=1, kind="stable")
    stays = np.ones(inputs, bool)
    for number in range(1, rounds):
        begun = number * inputs % degree  # entries of the output that both permutations serve
        if begun:
            taken, order = entries[number - 1, inputs - begun :], entries[number]
            stays[taken] = False
            stays[order[stays[order].cumsum() > degree - begun]] = False
            front = stays[order]
            entries[number] = np.concatenate((order[front], order[~front]))
            stays[:] = True
    return np.sort(entries.ravel()[: outputs * degree].reshape(outputs, degree), axis=1)


def expander_mask(shape: tuple[int, ...], degree: int, seed: int) -> NDArray[np.bool_]:
    """True where a weight of `shape` (outputs x inputs x kernel) exists; a connection has its whole kernel.

    >>> int(expander_mask((4, 6, 3, 3), 3, 7).sum())
    108
    """
    if len(shape) < 2:
        raise InputError("expander", f"shape {shape}", "outputs x inputs, with or without a kernel")
    mask = np.zeros(shape[:2], bool)
    np.put_along_axis(mask, expander_connections(shape[0], shape[1], degree, seed), True, axis=1)
    return np.broadcast_to(mask.reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape).copy()


def hashed_buckets(
    shape: tuple[int, ...], buckets: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(bucket 0..buckets-1, whether the sign is minus) of every weight of `shape`, in C order.

    Chen et al., *Compressing Neural Networks with the Hashing Trick*, ICML 2015: weight i is the value of bucket h(i),
    times a sign. With r_i = output i of `splitmix64(seed)`: the bucket is floor(r_i / 2) mod buckets, the sign minus
    where r_i is odd.

    >>> [part.tolist() for part in hashed_buckets((2, 3), 4, 1)]
    [[[0, 3, 3], [1, 0, 0]], [[True, True, False], [True, True, False]]]
    """
    if buckets < 1:
        raise InputError("sketch", f"{buckets} values", "at least 1")
    draws = splitmix64(seed, 0, prod(shape))
    bucket = ((draws >> np.uint64(1)) % np.uint64(buckets)).astype(np.int64)
    return bucket.reshape(shape), (draws & np.uint64(1)).astype(bool).reshape(shape)
