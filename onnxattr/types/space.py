"""The map of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxattr.types.maps import Summary
from onnxattr.types.models import Failure
from onnxattr.types.rankings import Similarity
from onnxattr.types.showing import Shown

if TYPE_CHECKING:
    from onnxattr.arrays import Float64
    from onnxattr.types.galleries import Gallery


@dataclass(frozen=True)
class Join:
    """Two groups of models that a tree joins.

    Attributes:
        first: A group: models are 0, 1, … in their order, the k-th join is what follows them + k.
        second: The other one, further down in the order of the leaves.
        distance: How far apart the two are, by the tree's linkage.
        size: Models in both together.
    """

    first: int
    second: int
    distance: float
    size: int


@dataclass(frozen=True)
class Neighbour:
    """Another model that is near: its name, and the mean cosine over the probes, -1..1."""

    name: str
    similarity: float


@dataclass(frozen=True, eq=False)
class Layout:
    """Where models stand: in a tree and in the plane. Attributes are those of `ModelMap`."""

    distances: Float64
    joins: tuple[Join, ...]
    leaves: tuple[int, ...]
    linkage: str
    points: Float64
    kept: tuple[float, ...]
    newick: str


@dataclass(frozen=True, eq=False)
class ModelMap(Shown):
    """The outcome of `map_models`: models as a matrix, a tree and points in the plane.

    Attributes:
        models: What is to be said of each model.
        similarity: Their cosines. Those of single probes, `per_probe`, are kept of so few models
            that they take half a GiB at most; else that is [model, model, 0].
        distances: float64 [model, model]: how unlike two models' rows of the matrix are,
            √Σₖ (sᵢₖ − sⱼₖ)². Of more models than are drawn, [0, 0], as is the matrix.
        joins: Of the tree, the nearest first; empty where there is no matrix.
        leaves: Models in the order in which the tree shows them, by their numbers.
        linkage: How far apart two groups are: `single`, `average` or `ward`.
        clusters: Of each model, 1, 2, … in the order of the leaves; empty if nobody asked for them.
        points: float64 [model, 2]: classical multidimensional scaling; their mean is zero.
        kept: Share of the variance along each of the two dimensions, 0..1.
        nearest: The nearest other models of each, nearest first.
        newick: The tree in Newick's format.
        failures: Models and probes that were left out.
        warnings: What the reader must know, a line each.
        settings: Everything that decides the numbers.
        versions: Of onnxattr and of what it computed with.
        unfinished: Models that were not reached before an interruption.
        stored: Models whose maps were all in the store.
        seconds: Wall time of the parts.
        gallery: A few maps of some of the models, small, for figures; None where they cannot be
            drawn.
    """

    models: tuple[Summary, ...]
    similarity: Similarity
    distances: Float64
    joins: tuple[Join, ...]
    leaves: tuple[int, ...]
    linkage: str
    clusters: tuple[int, ...]
    points: Float64
    kept: tuple[float, ...]
    nearest: tuple[tuple[Neighbour, ...], ...]
    newick: str
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    unfinished: tuple[str, ...]
    stored: tuple[str, ...]
    seconds: Mapping[str, float]
    gallery: Gallery | None = None
