"""Arguments of each command of the command line: one function fills one parser."""

from __future__ import annotations

import argparse

from .models.errors import InputError

RECIPES = (
    "how to compress: a .toml file, or a shipped recipe: deep-compression (default), int8, lsq-4bit, smallest, "
    "structured, ternary, two-four"
)
ENERGY = ("low", "default", "high")


def model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a network's name, a .onnx, .tflite or .pico file, or gemm:M=..,N=..,K=.."
    )


def network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="of an ONNX input")
    parser.add_argument("--weights", metavar="FILE", help="weights for the network: .safetensors, .npz or a state dict")
    parser.add_argument("--data", metavar="FILE.npz", help="inputs to measure activation densities on ([run])")
    parser.add_argument("--phase", choices=("prefill", "decode"), help="of a decoder, such as gpt2")
    parser.add_argument("--context", type=whole, metavar="N", help="tokens of a transformer")


def as_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def costing(parser: argparse.ArgumentParser, *, target_required: bool = True) -> None:
    model(parser)
    parser.add_argument("--target", metavar="T[,T2]", required=target_required, help="shipped names or .toml files")
    parser.add_argument("--batch", type=whole, default=1, metavar="N", help="inferences at once (default 1)")
    parser.add_argument("--layer", metavar="L", help="only this layer")
    parser.add_argument("--bits", metavar="W[:A]", help="bits of weights and activations")
    parser.add_argument("--density", type=number, metavar="D", help="keep this fraction of each layer's weights")
    parser.add_argument("--act-density", type=number, metavar="D", help="fraction of non-zero activations")
    parser.add_argument("--format", metavar="F", help="how weights lie in memory: csr, nm2:4, relative5+huffman, ...")
    parser.add_argument("--energy", choices=ENERGY, default="default", help="where a source gives a range")
    parser.add_argument("--residency", choices=("warm", "cold"), default="warm", help="whether weights stay on chip")
    parser.add_argument("--strict", action="store_true", help="a layer that the target cannot run is an error")
    network_options(parser)


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError("a number on the command line", text, "a whole number", "for example 1") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError("--density", text, "a fraction above 0 and at most 1", "for example 0.1") from None


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise InputError("--budget", text, "CPU seconds above 0", "for example --budget 10") from None
    return found


def estimate(sub: argparse.ArgumentParser) -> None:
    costing(sub)
    sub.add_argument("--against", metavar="MODEL2", help="print this model beside it")
    as_json(sub)


def map_layers(sub: argparse.ArgumentParser) -> None:
    model(sub)
    sub.add_argument("--target", metavar="T", required=True, help="an accelerator: a shipped name or a .toml file")
    sub.add_argument("--batch", type=whole, default=1, metavar="N", help="inferences at once (default 1)")
    sub.add_argument("--layer", metavar="L", help="only this layer")
    sub.add_argument("--bits", metavar="W[:A]", help="bits of weights and activations (default: the MAC's own)")
    sub.add_argument("--objective", choices=("energy", "latency", "edp", "pareto"), default="energy")
    sub.add_argument("--mapspace", metavar="NAME", help="one that the target names (default: its own choice)")
    sub.add_argument("--mapping", metavar="FILE", help='instead of searching: TOML, mapping = ["dram: K6 C64", ...]')
    sub.add_argument("--sweep", metavar="LEVEL", help="energy against the size of this memory, for one --layer")
    sub.add_argument("--budget", type=seconds, metavar="S", help="CPU seconds after which the best so far is given")
    network_options(sub)
    as_json(sub)


def explain(sub: argparse.ArgumentParser) -> None:
    costing(sub)
    sub.add_argument("--metric", choices=("energy", "latency"), default="energy")
    as_json(sub)


def check(sub: argparse.ArgumentParser) -> None:
    costing(sub)
    sub.add_argument("--max", action="append", required=True, metavar="energy=5mJ", help="energy, latency or size")
    as_json(sub)


def compress(sub: argparse.ArgumentParser) -> None:
    model(sub)
    sub.add_argument("--recipe", metavar="FILE|NAME", help=RECIPES)
    sub.add_argument("--bits", metavar="W", help="without training: bits of shared weights, 8 or 'conv*=8,fc*=5'")
    sub.add_argument("--density", metavar="D", help="without training: keep this fraction, 0.3 or 'conv*=.3,fc*=.1'")
    sub.add_argument("--format", metavar="F", help="how they lie in the file (default: the smallest, layer by layer)")
    sub.add_argument("--prune", metavar="METHOD", help="magnitude (default), random, N:M such as 2:4, blockRxC")
    sub.add_argument("--share", choices=("kmeans", "exact", "uniform", "entropy"), help="how values are shared")
    sub.add_argument("--data", metavar="FILE.npz", help="inputs x, labels y to measure on; data of a recipe or sweep")
    sub.add_argument("--weights", metavar="FILE", help="weights for the network: .safetensors, .npz or a state dict")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="of an ONNX input")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--sweep", action="store_true", help="measure a trade-off curve by method, into a folder")
    sub.add_argument("--seeds", type=whole, default=3, metavar="N", help="of a sweep (default 3)")
    sub.add_argument("--epochs", type=whole, metavar="E", help="of retraining at each point of a sweep (default 2)")
    sub.add_argument("-o", "--output", metavar="FILE.pico|DIR", help="required; a folder for a sweep")


def inspect(sub: argparse.ArgumentParser) -> None:
    model(sub)
    network_options(sub)
    as_json(sub)


def export(sub: argparse.ArgumentParser) -> None:
    model(sub)
    sub.add_argument("-o", "--output", required=True, metavar="FILE.{onnx,safetensors,npz}")


def validate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--target", metavar="T", help="only this target")
    as_json(sub)


def targets(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("action", nargs="?", choices=("new",), help="new: write a commented template to FILE")
    sub.add_argument("file", nargs="?", metavar="FILE.toml")
    sub.add_argument("--kind", choices=("device", "accelerator", "systolic"), default="device", help="of the template")
    as_json(sub)


def demo(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-o", "--output", default="report.html", metavar="FILE.html", help="where the report is written")


def explore(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("study", metavar="MODEL|STUDY.toml", help="a model, or a file that says what to explore")
    sub.add_argument("-o", "--output", required=True, metavar="DIR")
    sub.add_argument("--target", metavar="T[,T2]", help="default: an accelerator, a CPU, a GPU and the 45 nm view")
    sub.add_argument("--resume", action="store_true", help="go on with a study that was interrupted in DIR")
    sub.add_argument("--workers", type=whole, default=1, metavar="N", help="errors measured at once (default 1)")
    as_json(sub)


def front(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR")
    sub.add_argument("--target", metavar="T", help="only this target")
    as_json(sub)


def best(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR", nargs="?", help="an exploration (default: what ships)")
    sub.add_argument("--network", metavar="NETWORK", help="only this network (default: any)")
    sub.add_argument("--target", required=True, metavar="T")
    sub.add_argument("--max-error", metavar="E", help="percent on the validation split, for example 2")
    sub.add_argument("--max-energy", metavar="5mJ")
    sub.add_argument("--max-latency", metavar="20ms")
    sub.add_argument("--max-size", metavar="1MiB", help="of the file")
    sub.add_argument("--objective", choices=("energy", "latency", "size", "error"), default="energy")
    as_json(sub)


def report(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", metavar="MODEL|DIR", help="a model, or a folder written by picojoule explore")
    sub.add_argument("--target", metavar="T[,T2]", help="default: an accelerator, a CPU, a GPU and the 45 nm view")
    sub.add_argument("--against", metavar="MODEL2", help="what to compare with (default: the dense network)")
    sub.add_argument("-o", "--output", required=True, metavar="FILE.{html,pdf,md,csv,json,xlsx}")


def paper(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("row", metavar="ROW", nargs="?", help="which row (default: list them)")
    sub.add_argument("networks", metavar="NETWORK", nargs="*", help="of the ladder (default: one of each family; all)")
    sub.add_argument("--weights", metavar="FILE", help="real weights for table-4, table-5 or the ladder of one network")
    sub.add_argument("--density", type=number, metavar="D", help="of the ladder, for all layers")
    sub.add_argument("--bits", type=whole, metavar="B", help="of the ladder, for all layers")
    sub.add_argument("--rerun", metavar="DIR", help="measure again what ships as CSV, into DIR; resumable")
    sub.add_argument("-o", "--output", metavar="FILE.html", help="write a figure as a page of its own")
    sub.add_argument("--seed", type=whole, default=0, metavar="S", help="of synthetic weights (default 0)")
    as_json(sub)


def dashboard(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("directory", metavar="DIR", nargs="?", help="an exploration (default: what ships)")
    sub.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    sub.add_argument("--port", type=whole, default=8050, metavar="P")


def calibrate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-o", "--output", required=True, metavar="my_machine.toml")
    sub.add_argument("--from", dest="measured", metavar="measured.csv", help="fit --target to your own measurements")
    sub.add_argument("--target", metavar="T", help="the target that --from measured")
    sub.add_argument("--gpu", action="store_true", help="measure an NVIDIA GPU (torch; energy through [gpu])")
    sub.add_argument("--threads", type=whole, default=1, metavar="N", help="threads to measure with (default 1)")
    as_json(sub)


def measure(sub: argparse.ArgumentParser) -> None:
    model(sub)
    sub.add_argument("--target", default="zen3-core", metavar="T", help="what to predict for (default: zen3-core)")
    sub.add_argument("--batch", type=whole, default=1, metavar="N", help="inferences at once (default 1)")
    sub.add_argument("--threads", type=whole, default=1, metavar="N", help="threads to run with (default 1)")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="of an ONNX input")
    as_json(sub)
