"""What a result keeps for its figures: a tree, points, and a few maps. Small, whatever was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.drawing import tiles
from onnxattr.drawing.thumbnails import SIDE, thumbnails
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.space.embedding import embedding
from onnxattr.space.tree import clusters, newick, tree
from onnxattr.types import IMAGE, TOKENS, Gallery, Join, Layout, Maps, Probes, Similarity

#: Fewer models than these are a pair, and no map.
FEWEST = 3

#: Models with maps in a gallery, and probes that they are of.
MODELS, PROBES = 40, 6

#: More models than these have no tree beside a ranking: `map_models` makes one.
DRAWN = 200


def drawn_of(
    matrix: Float64, names: tuple[str, ...], linkage: str, groups: int | None
) -> dict[str, Any]:
    """Returns what is made of a matrix; all of it is empty where there is none."""
    if not matrix.size:
        return {
            "distances": matrix,
            "joins": (),
            "leaves": (),
            "linkage": linkage,
            "clusters": (),
            "points": np.empty((0, 2)),
            "kept": (0.0, 0.0),
            "newick": "",
        }
    from scipy.spatial.distance import pdist, squareform

    # Newick has no escapes but that of its quotes: names in it are as harmless as everywhere.
    grown = tree(matrix, tuple(clean(name, MAX_TEXT) for name in names), linkage)
    points = embedding(matrix, names)
    place = {leaf: number for number, leaf in enumerate(grown.leaves)}
    joins = []
    for number, (one, other, distance, size) in enumerate(grown.merges.tolist()):
        # SciPy numbers the two sides of a merge; a drawing asks which one is above.
        first, second = sorted((int(one), int(other)), key=place.__getitem__)
        joins.append(Join(first, second, distance, int(size)))
        place[len(names) + number] = place[first]
    return {
        "distances": squareform(pdist(matrix)),
        "joins": tuple(joins),
        "leaves": grown.leaves,
        "linkage": linkage,
        "clusters": () if groups is None else tuple(clusters(grown, count=groups)),
        "points": points.points,
        "kept": points.kept,
        "newick": newick(grown),
    }


def layout_of(similarity: Similarity, linkage: str = "single") -> Layout | None:
    """Returns the models as a tree and as points; None where there is none to be drawn."""
    count = len(similarity.names)
    if not FEWEST <= count <= DRAWN or np.isnan(similarity.matrix).any():
        return None
    drawn = drawn_of(similarity.matrix, similarity.names, linkage, None)
    del drawn["clusters"]
    return Layout(**drawn)


def gallery_of(
    maps: Sequence[Maps], probes: Probes, places: Sequence[int] | None = None
) -> Gallery | None:
    """Returns a few maps, small; None where they have no axis, or more than two.

    Args:
        maps: Of each model, by the same method.
        probes: What they are of.
        places: Of the probes that are shown; by default, six that are spread over all of them.
    """
    if not maps or not tiles.can_draw(maps[0].values.ndim - 1):
        return None
    count = len(probes.names)
    spread = np.linspace(0, count - 1, min(PROBES, count)).round().astype(int)
    chosen = [int(place) for place in (np.unique(spread) if places is None else places)]
    given = None
    if probes.kind != TOKENS:
        shape = probes.values.shape[1 : 3 if probes.kind == IMAGE else None]
        size = tiles.size_of(shape, SIDE, square=probes.kind == IMAGE)
        given = np.stack([np.asarray(tiles.draw_probe(probes.values[i], size)) for i in chosen])
    return Gallery(
        method=maps[0].method,
        signed=maps[0].signed[0],
        models=tuple(one.model for one in maps[:MODELS]),
        probes=tuple(probes.names[i] for i in chosen),
        places=tuple(chosen),
        maps=tuple(thumbnails(one.values[chosen]) for one in maps[:MODELS]),
        given=given,
        image=probes.kind == IMAGE,
        every=(len(maps), count),
    )


def extremes(cosines: Float64) -> list[int]:
    """Returns the places of the three highest cosines and of the three lowest, highest first."""
    known = [int(i) for i in np.argsort(-cosines, kind="stable") if np.isfinite(cosines[i])]
    half = PROBES // 2
    return known if len(known) <= PROBES else known[:half] + known[-half:]
