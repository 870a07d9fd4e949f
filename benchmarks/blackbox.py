"""Throughput of the black-box methods, against ONNX Runtime's own on batches that are ready.

Each method makes the maps of a few probes; beside it, in turn and on the same thread, a bare loop
calls `session.run` as often, on arrays of the same sizes that lie ready. Prints the medians of the
ratios of CPU time (bare loop / method: 1 would be no cost of ours) with 95 % bootstrap intervals.
The last column is the time of a map by the first method over that of one by saliency.

    python benchmarks/blackbox.py [MODEL …] [--methods LIST] [--probes N] [--repeats N]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import onnxattr
from onnxattr.attribution.blackbox import BlackBox
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import Method, parse_all
from onnxattr.convert.array_feed import feeds
from onnxattr.convert.session import Runtime
from onnxattr.convert.torch import to_network
from onnxattr.graph.normalise import FUSIONS

SAMPLES = sorted((Path(__file__).parent.parent / "samples" / "models").glob("*.onnx"))


def spent(call: Callable[[], object]) -> float:
    """Returns the CPU time of a call, in seconds."""
    started = time.process_time()
    call()
    return time.process_time() - started


def bare(runtime: Runtime, sizes: list[int]) -> Callable[[], None]:
    """Returns a loop over ready batches of some sizes."""
    spec, rng = runtime.spec, np.random.default_rng(0)

    def ready(size: int) -> dict[str, np.ndarray]:
        shape = [size if axis is None else axis for axis in spec.shape]
        return feeds(spec, rng.random(shape).astype(spec.dtype))

    batches = {size: ready(size) for size in set(sizes)}
    session, names = runtime._session._session, [runtime.representation.value]

    def loop() -> None:
        for size in sizes:
            session.run(names, batches[size])

    return loop


def sizes_of(maker: BlackBox, probes: int) -> list[int]:
    """Returns the sizes of the batches in which a method asks for T."""
    full, rest = divmod(maker._scheme.count * probes, maker.size)
    return [maker.size] * full + [rest] * (rest > 0)


def interval(values: list[float]) -> str:
    """Returns the median and its 95 % bootstrap interval."""
    array = np.asarray(values)
    draws = np.random.default_rng(0).integers(0, len(array), (2000, len(array)))
    low, high = np.quantile(np.median(array[draws], axis=1), [0.025, 0.975])
    return f"{np.median(array):.3f} [{low:.3f}, {high:.3f}]"


def main(models: list[Path], methods: tuple[Method, ...], probes: int, repeats: int) -> None:
    """Measures, and prints a table in markdown."""
    torch.set_num_threads(1)
    print(f"{probes} probes, {', '.join(map(str, methods))}, {repeats} runs of each in turn")
    names = [method.name for method in methods]
    print("| model | batch | ms a pass |", " | ".join(names), f"| {names[0]} / saliency |")
    print("| --- | ---: | ---: |" + " ---: |" * (len(names) + 1))
    images = onnxattr.load_probes(limit=probes).images
    every: dict[str, list[float]] = {name: [] for name in names}
    for path in models:
        network = to_network(onnxattr.load(path), fuse=FUSIONS)
        runtime = Runtime(network.model, network.spec, network.representation, threads=1)
        engine = Engine(network)
        makers = {method.name: BlackBox(runtime, method=method) for method in methods}
        ratios: dict[str, list[float]] = {name: [] for name in names}
        passes, gradients = [], []
        for repeat in range(repeats + 1):  # The first warms up.
            for name, maker in makers.items():
                ours = spent(lambda maker=maker: maker.maps(images))
                sizes = sizes_of(maker, len(images))
                theirs = spent(bare(runtime, sizes))
                if repeat:
                    ratios[name].append(theirs / ours)
                    passes.append(1e3 * theirs / sum(sizes))
                if repeat and name == names[0]:
                    gradients.append(ours / spent(lambda engine=engine: engine.maps(images)))
        for name, values in ratios.items():
            every[name].append(float(np.median(values)))
        cells = " | ".join(interval(values) for values in ratios.values())
        batch = makers[names[0]].size
        print(
            f"| {path.stem} | {batch} | {np.median(passes):.2f} | {cells} "
            f"| {np.median(gradients):.1f} |",
            flush=True,
        )
    print("\nmedians:", ", ".join(f"{name} {np.median(each):.3f}" for name, each in every.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=SAMPLES)
    parser.add_argument("--methods", type=parse_all, default="occlusion,rise:masks=128")
    parser.add_argument("--probes", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    main(given.models, given.methods, given.probes, given.repeats)
