"""How alike the maps of two seeds are, of black-box methods that draw.

Prints, for some numbers of masks and of samples, the median over models and probes of the cosine
between the maps of seeds 0 and 1, and the least.

    python benchmarks/seeds.py [MODEL …] [--methods LIST] [--probes N]
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import onnxattr
from onnxattr.attribution.blackbox import BlackBox
from onnxattr.attribution.methods import Method, parse_all
from onnxattr.convert.session import Runtime
from onnxattr.graph.inputs import image_input
from onnxattr.graph.load import load
from onnxattr.graph.outputs import representation

FOLDER = Path(__file__).parent.parent / "samples" / "models"
MODELS = [FOLDER / f"{name}-torch.onnx" for name in ("class_object", "rgb2depth")]
METHODS = ",".join(
    f"{method}={count}"
    for method in ("rise:masks", "kernel-shap:samples")
    for count in (250, 500, 1000, 2000)
)


def cosines(runtime: Runtime, method: Method, images: np.ndarray) -> np.ndarray:
    """Returns the cosine of each probe's two maps."""
    one, other = (
        BlackBox(runtime, method=method, seed=seed).maps(images).reshape(len(images), -1)
        for seed in (0, 1)
    )
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / norms


def main(models: list[Path], methods: tuple[Method, ...], probes: int) -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    images = onnxattr.load_probes(limit=probes).images
    runtimes = []
    for path in models:
        model = load(path)
        runtimes.append(Runtime(model, image_input(model), representation(model), threads=1))
    for method in methods:
        found = np.concatenate([cosines(runtime, method, images) for runtime in runtimes])
        print(f"{method!s:28} {np.median(found):.3f}, at least {found.min():.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=MODELS)
    parser.add_argument("--methods", type=parse_all, default=METHODS)
    parser.add_argument("--probes", type=int, default=3)
    given = parser.parse_args()
    main(given.models, given.methods, given.probes)
