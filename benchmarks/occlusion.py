"""What a map by occlusion takes, against one by saliency, on the sample models.

Both run in turn on the same probes, in one process and on one thread; the network is converted, and
ONNX Runtime has loaded the model, before the clock runs. Prints CPU time per probe and the ratio,
medians over the repeats.

    python benchmarks/occlusion.py [MODEL …] [--probes N] [--repeats N]
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
from onnxattr.convert.session import Runtime
from onnxattr.convert.torch import to_network

SAMPLES = sorted((Path(__file__).parent.parent / "samples" / "models").glob("*.onnx"))


def makers(path: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns both ways to maps of a model."""
    network = to_network(onnxattr.load(path), fuse=True)
    runtime = Runtime(network.model, network.spec, network.representation, threads=1)
    return {"saliency": Engine(network).maps, "occlusion": BlackBox(runtime).maps}


def main() -> None:
    """Measures and prints a table in markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=SAMPLES)
    parser.add_argument("--probes", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = onnxattr.load_probes(limit=given.probes).images
    print("| model | saliency | occlusion | ratio |\n| --- | ---: | ---: | ---: |")
    ratios = []
    for path in given.models:
        ways = makers(path)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(given.repeats + 1):  # The first warms up.
            for name, way in ways.items():
                started = time.process_time()
                way(images)
                if repeat:
                    spent[name].append((time.process_time() - started) / len(images) * 1e3)
        ratio = float(np.median(np.divide(spent["occlusion"], spent["saliency"])))
        ratios.append(ratio)
        cells = " | ".join(f"{np.median(values):.1f} ms" for values in spent.values())
        print(f"| {path.stem} | {cells} | {ratio:.1f} |", flush=True)
    print(f"\nmedian ratio: {np.median(ratios):.1f}")


if __name__ == "__main__":
    main()
