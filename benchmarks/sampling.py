"""How far maps are from those of many more samples, by the number of samples, and what they cost.

Of three sample models and six probes: the mean cosine to the map of 256 samples of another seed;
for integrated gradients to 256 steps, and |Σ map − (T(x) − T(black))| as a part of the latter, of
the worst probe. Then the processor time of a batch of 8, as a multiple of that of `saliency`.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import find, parse
from onnxattr.attribution.setting import Setting
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.probes import load_probes
from onnxattr.types import Network

MODELS = Path(__file__).resolve().parents[1] / "samples" / "models"
NAMES = ("class_object-torch", "edge2d-torch", "rgb2depth-torch")
COUNTS = (8, 16, 32, 64, 128)
FAR = 256
REPEATS = 20
COSTS = (
    *("saliency", "deeplift", "guided-backprop", "grad-cam", "integrated-gradients:steps=8"),
    *("expected-gradients:samples=8", "smoothgrad:samples=8", "vargrad:samples=8"),
)


def network(name: str, method: str) -> Network:
    """A sample model, with all fusions that the method allows."""
    unfused = parse(method).entry.unfused
    return to_network(load(MODELS / f"{name}.onnx"), fuse=[f for f in FUSIONS if f not in unfused])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over probes."""
    a, b = (v.reshape(len(v), -1).astype(float) for v in (a, b))
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def convergence(images: np.ndarray) -> None:
    """Prints a line for each model and method."""
    print(f"{f'cosine to {FAR}':24}{'':20}" + "".join(f"{count:>8}" for count in COUNTS))
    for name in NAMES:
        for method, option in (
            ("smoothgrad", "samples"),
            ("vargrad", "samples"),
            ("expected-gradients", "samples"),
            ("integrated-gradients", "steps"),
        ):
            text, net = f"{method}:{option}", network(name, method)
            far = maps(net, f"{text}={FAR}", images, seed=1)
            rows = [cosine(maps(net, f"{text}={count}", images), far) for count in COUNTS]
            print(f"{name:24}{method:20}" + "".join(f"{v:8.4f}" for v in rows), flush=True)
        print(f"{'':24}{'of the sum':20}" + "".join(f"{v:8.4f}" for v in gaps(name, images)))


def maps(net: Network, method: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """The maps of six probes, with all of them for a background."""
    engine = Engine(net, methods=[parse(method)], seed=seed, background=images)
    return engine.maps(images[:6])[0]


def gaps(name: str, images: np.ndarray) -> list[float]:
    """The largest part of T(x) − T(black) that integrated gradients miss, by the steps."""
    setting = Setting(network(name, "integrated-gradients"))
    x = setting.feed.canonical(torch.from_numpy(images[:6].copy()))
    with torch.no_grad():
        t, t0 = (
            setting.network.module(setting.feed(v)).double().flatten(1).sum(1)
            for v in (x, torch.zeros_like(x))
        )
    found = []
    for count in COUNTS:
        explain = find("integrated-gradients")(setting, steps=count, baseline="black")
        total = 3 * explain(x).double().flatten(1).sum(1)
        found.append(float(((total - (t - t0)).abs() / (t - t0).abs()).max()))
    return found


def costs(images: np.ndarray) -> None:
    """Prints a line a method."""
    runs: dict[str, Callable[[], torch.Tensor]] = {}
    for text in COSTS:
        method, net = parse(text), network(NAMES[0], text)
        x = Setting(net).feed.canonical(torch.from_numpy(images[:8].copy()))
        explain = find(method.name)(Setting(net, background=x), **method.options)
        runs[text] = lambda explain=explain, x=x: explain(x)
    taken: dict[str, list[float]] = {text: [] for text in COSTS}
    for _ in range(REPEATS):
        for text, run in runs.items():
            before = time.process_time()
            run()
            taken[text].append(time.process_time() - before)
    once = statistics.median(taken["saliency"])
    for text, times in taken.items():
        print(f"{text:44}{statistics.median(times) / once:8.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    probes = load_probes(limit=16).images
    convergence(probes)
    costs(probes)
