"""How fast real compression is: entropy coding, clustering, a large network to a file and back."""

# pyright: reportMissingImports=false
# (the editable install's hook is not visible to a type checker)
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picojoule.models.codecs import huffman, huffman_decode
from picojoule.models.compress.histogram import nearest_codes
from picojoule.models.compress.scalar import exact_kmeans_1d
from picojoule.models.compress.share import share_weights

from .harness import BenchmarkError, Row, time_call

FC6_WEIGHTS = 102_760_448  # of VGG-16


def _pruned_codes(elements: int, density: float) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """(5-bit codes, 5-bit gaps) of normal weights pruned by magnitude, shared by k-means."""
    values = np.random.default_rng(0).standard_normal(elements, dtype=np.float32)
    values[np.abs(values) < np.quantile(np.abs(values), 1 - density)] = 0
    codes = share_weights(values, 5).codes
    place = np.flatnonzero(codes)
    return codes[place], (np.diff(place, prepend=-1) - 1 & 31).astype(np.uint16)


def _huffman(name: str, symbols: NDArray[np.uint16], aim: str) -> list[Row]:
    counts = np.bincount(symbols)
    lengths = huffman.code_lengths(counts)
    data = huffman.encode(symbols, lengths)
    if not np.array_equal(huffman_decode.decode(data, len(symbols), lengths), symbols):
        raise BenchmarkError(f"Huffman, {name}: what came out is not what went in")
    share = counts[counts > 0] / len(symbols)
    entropy = -float(share @ np.log2(share))
    encode_s = time_call(lambda: huffman.encode(symbols, lengths), runs=3).cpu_s
    decode_s = time_call(lambda: huffman_decode.decode(data, len(symbols), lengths), runs=3).cpu_s
    over = 100 * (8 * len(data) / len(symbols) / entropy - 1)
    return [
        Row(f"Huffman encode, {name}", len(symbols) / encode_s / 1e6, "M symbols/CPU s", "> 20"),
        Row(f"Huffman decode, {name}", len(symbols) / decode_s / 1e6, "M symbols/CPU s", "> 50"),
        Row(f"Huffman over entropy ({entropy:.2f} bit), {name}", over, "%", aim),
    ]


def bench_huffman() -> list[Row]:
    """A codeword has one bit at least: no aim for the overhead where the entropy is near or below that."""
    codes, gaps = _pruned_codes(1 << 25, 0.1)
    rng = np.random.default_rng(1)
    wide = np.clip(np.round(rng.normal(128, 30, len(codes))), 0, 255).astype(np.uint16)
    mask = (rng.random(len(codes)) < 0.1).astype(np.uint16)
    return [
        *_huffman("5-bit codes", codes, "< 1"),
        *_huffman("5-bit gaps", gaps, "< 1"),
        *_huffman("8-bit codes", wide, "< 1"),
        *_huffman("mask of density 0.1", mask, ""),
    ]


def bench_kmeans() -> list[Row]:
    """VGG-16's largest layer, dense, in 32 levels: centroids and codes; the error against that of a finer search."""
    values = np.random.default_rng(0).standard_normal(FC6_WEIGHTS, dtype=np.float32)
    found: list[NDArray[np.float64]] = []

    def cluster() -> None:
        centroids = exact_kmeans_1d(values, 32)
        nearest_codes(values, (centroids[1:] + centroids[:-1]) / 2)
        found.append(centroids)

    seconds = time_call(cluster, runs=1, warm_up=False).cpu_s
    error, polished = _error(values, found[0]), _error(values, _polished(values, found[0]))
    return [
        Row("exact k-means, 103 M weights to 32 levels", seconds, "CPU s", "< 5"),
        Row("its squared error over that of 20 more rounds on all weights", error / polished - 1, "", "< 1e-5"),
    ]


BLOCK = 1 << 22


def _polished(values: NDArray[np.float32], centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lloyd's rounds on every value, none of them binned."""
    for _ in range(20):
        borders = (centroids[1:] + centroids[:-1]) / 2
        mass, moment = np.zeros((2, len(centroids)))
        for first in range(0, len(values), BLOCK):
            block = values[first : first + BLOCK]
            codes = nearest_codes(block, borders)
            mass += np.bincount(codes, minlength=len(centroids))
            moment += np.bincount(codes, weights=block, minlength=len(centroids))
        centroids = moment / mass
    return centroids


def _error(values: NDArray[np.float32], centroids: NDArray[np.float64]) -> float:
    borders, total = (centroids[1:] + centroids[:-1]) / 2, 0.0
    for first in range(0, len(values), BLOCK):
        block = values[first : first + BLOCK].astype(np.float64)
        block -= centroids[nearest_codes(values[first : first + BLOCK], borders)]
        total += float(block @ block)
    return total


def bench_vgg16() -> list[Row]:
    """Prune, share, encode, write, read, decode, compare; in a process of its own for its memory."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("vgg16.py"))], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"VGG-16: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout)
    if not found["same"]:
        raise BenchmarkError("VGG-16: the decoded weights are not those encoded")
    return [
        Row("VGG-16, 138 M weights: prune to decoded file", found["cpu_s"], "CPU s", "< 90"),
        Row("VGG-16: largest memory", found["peak_bytes"] / 2**30, "GiB", "< 4"),
        Row("VGG-16: the file, 8 and 5 bits, Huffman", found["file_bytes"] / 1e6, "MB"),
    ]
