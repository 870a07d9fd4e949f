"""What a precision does to maps, and to the time that they take.

The cosine of each probe's map to that of float64, by the paper's three methods, of the sample
models and of networks of torchvision with random weights (exported at opset 16); the smallest and
the median over probes are printed, and the time as a ratio to float32. TF32 needs a GPU: on the CPU
`tf32` rounds what goes into every product of a forward and a backward pass to ten bits, as a GPU
does, and has no time of its own.

    python benchmarks/precision.py [MODEL …] [--device cuda] [--probes N] [--compile]
"""

import argparse
import dataclasses
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradients import MODELS, export, made
from torch.utils._python_dispatch import TorchDispatchMode

import onnxattr
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.normalise import FUSIONS
from onnxattr.probes import load_probes
from onnxattr.types import Model, Network

SAMPLES = sorted((Path(__file__).parent.parent / "samples" / "models").glob("*.onnx"))
METHODS = ("saliency", "grad-input", "elrp")

#: Products, whose operands a GPU rounds for TF32.
_PRODUCTS = ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm")


class Tf32(TorchDispatchMode):
    """Rounds the operands of products to the ten bits of TF32, to the nearest."""

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function._schema.name.removeprefix("aten::") in _PRODUCTS:
            args = tuple(_rounded(a) if isinstance(a, torch.Tensor) else a for a in args)
        return function(*args, **(kwargs or {}))


def _rounded(x: torch.Tensor) -> torch.Tensor:
    if x.dtype != torch.float32:
        return x
    bits = x.view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def networks(model: Model, at: str | None, device: str) -> tuple[Network, Network]:
    """Returns the model in its own precision, and in float64."""
    narrow, wide = (
        to_network(model, at=at, device=device, fuse=FUSIONS, wide=wide) for wide in (False, True)
    )
    return narrow, wide


def maps(
    network: Network, precision: str, probes: np.ndarray, compile: bool
) -> tuple[np.ndarray, float, str]:
    """Returns maps, the seconds that they took, and whether the network was compiled."""
    engine = Engine(
        network,
        methods=[parse(m) for m in METHODS],
        batch_size=8,
        precision=precision,
        compile=compile,
    )
    engine.maps(probes[:8])
    started = time.perf_counter()
    found = engine.maps(probes)
    return found, time.perf_counter() - started, engine.settings["compiled"]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the cosine of each probe's maps, [method, probe]."""
    a, b = (v.reshape(*v.shape[:2], -1).astype(np.float64) for v in (a, b))
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def main(names: Sequence[str], device: str, count: int, compile: bool) -> None:
    """Measures and prints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    probes = load_probes(limit=count).values
    print(f"{device}, {len(probes)} probes, batch 8; smallest / median cosine to float64, time")
    models = {path.stem: str(path) for path in SAMPLES} | dict.fromkeys(MODELS, "")
    for name in names or models:
        given = models[name] or export(made(name, 224), 224)
        model = dataclasses.replace(onnxattr.load(given), name=name)
        # Behind its last normalisation an untrained transformer has units that cancel.
        narrow, wide = networks(model, None if models[name] else "output", device)
        truth, slow, _ = maps(wide, "float64", probes, False)
        runs = {"float32": maps(narrow, "float32", probes, compile)}
        runs["bf16"] = maps(narrow, "bf16", probes, compile)
        if device.startswith("cuda"):
            runs["tf32"] = maps(narrow, "tf32", probes, compile)
        else:
            with Tf32():
                runs["tf32"] = maps(narrow, "float32", probes, False)
        fast = runs["float32"][1]
        print(f"{name:24} float64 {slow / fast:.2f} x float32 ({1000 * fast:.0f} ms)")
        for precision, (found, seconds, compiled) in runs.items():
            same = cosines(truth, found)
            row = "   ".join(
                f"{m} {s.min():.7f} / {np.median(s):.7f}"
                for m, s in zip(METHODS, same, strict=True)
            )
            print(
                f"    {precision:8} {row}   {seconds / fast:.2f}",
                "" if compiled == "no" else compiled,
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--probes", type=int, default=16)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    main(given.models, given.device, given.probes, given.compile)
