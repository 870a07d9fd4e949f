"""What is left of maps when a trained net's layers become random, from its end backwards.

Cascading randomisation (Adebayo et al. 2018) of three sample models: for each method the mean over
models and probes of the cosine to the first map, and of Spearman's correlation of absolute values,
when half of the layers with weights are random and when all are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.probes import load_probes

MODELS = Path(__file__).resolve().parents[1] / "samples" / "models"
NAMES = ("class_object-torch", "edge2d-torch", "rgb2depth-torch")
METHODS = (
    *("saliency", "grad-input", "elrp", "lrp:composite=epsilon", "lrp:composite=epsilon-plus"),
    *("integrated-gradients", "expected-gradients", "smoothgrad", "vargrad", "deeplift"),
    *("guided-backprop", "grad-cam:of=grad-input"),
)
PROBES = 6


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean cosine, and the mean correlation of the ranks of absolute values."""
    a, b = (v.reshape(len(v), -1).astype(float) for v in (a, b))
    ranks = [np.stack([rankdata(row) for row in np.abs(v)]) for v in (a, b)]
    ranks = [r - r.mean(1, keepdims=True) for r in ranks]
    return cosine(a, b), cosine(*ranks)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over rows; 0 for one of zeros."""
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.where(sizes > 0, sizes, 1)))


def left(name: str, method: str, images: np.ndarray) -> Sequence[tuple[float, float]]:
    """What is left with half of the layers random, and with all."""
    chosen = parse(method)
    fused = [fusion for fusion in FUSIONS if fusion not in chosen.entry.unfused]
    net = to_network(load(MODELS / f"{name}.onnx"), fuse=fused)

    def maps() -> np.ndarray:
        engine = Engine(net, methods=[chosen], background=images[PROBES:], batch_size=PROBES)
        return engine.maps(images[:PROBES])[0]

    before, found = maps(), []
    generator = torch.Generator().manual_seed(0)
    weights = [p for p in net.module.parameters() if p.dim() > 1]
    for i, weight in enumerate(reversed(weights), start=1):
        weight.copy_(torch.randn(weight.shape, generator=generator) * weight.std())
        if i in (len(weights) // 2, len(weights)):
            found.append(similarity(before, maps()))
    return found


def main() -> None:
    """Prints a line a method."""
    images = load_probes(limit=PROBES + 8).images
    print(f"{'':28}{'half random':>16}{'all random':>16}\n{'':28}{'cosine   rank':>16}", end="")
    print(f"{'cosine   rank':>16}")
    for method in METHODS:
        found = np.mean([left(name, method, images) for name in NAMES], axis=0)
        half, whole = ("".join(f"{v:8.2f}" for v in row) for row in found)
        print(f"{method:28}{half}{whole}", flush=True)


if __name__ == "__main__":
    main()
