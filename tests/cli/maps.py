"""Maps of models as they come from `map_models`, from cosines that are easy to follow."""

import numpy as np

from onnxattr.pipeline.figures import drawn_of
from onnxattr.space import many
from onnxattr.types import (
    InputSpec,
    ModelMap,
    Neighbour,
    Origin,
    Parity,
    Representation,
    Similarity,
    Summary,
)

ORIGINS = ("PyTorch", "TensorFlow", "JAX", "unknown", "MATLAB")


def cosines(count=20, seed=0, groups=4):
    """Mean cosines of models in groups, [model, model]: positive semidefinite, 1 with itself."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, 16))
    rows = centres[np.arange(count) % groups] + rng.normal(size=(count, 16)) * 0.8
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = rows @ rows.T
    return (matrix + matrix.T) / 2


def summary(name, origin="PyTorch"):
    return Summary(
        name=name,
        path=f"models/{name}.onnx",
        sha256="0" * 64,
        origin=Origin(origin, f"{origin} 1.0"),
        opset=17,
        parameters=88_400,
        spec=InputSpec("input", "NCHW", 64, 64, sources={"range": "option"}),
        representation=Representation("relu_5", "the output"),
        parity=Parity(3e-7, 1e-4, 8),
        gradient=None,
        batch=8,
        unusable=0,
    )


def model_map(matrix, summaries, *, linkage="average", groups=None, drawn=True, unfinished=()):
    """A map of these models; without a tree if it is not `drawn`, as of very many."""
    names = tuple(one.name for one in summaries)
    near = many._from(matrix, 10)
    part = matrix if drawn else np.empty((0, 0))
    probes = {"source": "built-in", "count": 64, "sha256": "0" * 64}
    return ModelMap(
        models=tuple(summaries),
        similarity=Similarity(
            names, part, np.empty((*part.shape, 0)), True, (64, 64), (0,) * len(names)
        ),
        **drawn_of(part, names, linkage, groups),
        nearest=tuple(
            tuple(Neighbour(names[i], float(v)) for i, v in zip(row, values, strict=True))
            for row, values in zip(near.models, near.similarity, strict=True)
        ),
        failures=(),
        warnings=(),
        settings={
            "method": "saliency", "at": "feature", "centred": True, "probes": probes,
            "linkage": linkage, "clusters": groups,
        },
        versions={"onnxattr": "0"},
        unfinished=unfinished,
        stored=(),
        seconds={"total": 1.0},
    )  # fmt: skip


def twenty(**options):
    summaries = [summary(f"task{i % 4}-seed{i // 4}", ORIGINS[i % 3]) for i in range(20)]
    return model_map(cosines(), summaries, **options)
