"""The sources of each target, as many of them as there is memory for."""

from __future__ import annotations

import numpy as np

from onnxattr.pipeline.options import Options
from onnxattr.pipeline.space import ModelSpace
from onnxattr.space import many, ranking
from onnxattr.space.nearest import Neighbours
from onnxattr.types import IMAGE, Target

#: Sources that are ranked of each target where there are too many models to rank them all.
SHORTLIST = 10


def is_whole(space: ModelSpace) -> bool:
    """Whether all models are ranked as sources of all targets."""
    return many.fits(len(space.summaries), len(space.probes.values))


def targets_of(
    space: ModelSpace, wanted: int | None, options: Options
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Returns the sources of one target or of every model, and what is to be said of them.

    Of so many models that the cosines of all pairs on every probe have no room, one target has all
    of them as sources, and none of them a probability of each place, which would be as many as the
    square; of all targets each has its nearest.

    Args:
        space: The models.
        wanted: Place of the one target, or None for all.
        options: What decided the numbers.
    """
    hashes = [summary.sha256 for summary in space.summaries]
    if is_whole(space) or wanted is not None:
        places = range(len(hashes)) if wanted is None else [wanted]
        targets = tuple(
            ranking.rank_by(
                space.measures,
                space.similarity,
                place,
                seed=options.seed,
                hashes=hashes,
                probabilities=wanted is not None and is_whole(space),
            )
            for place in places
        )
        return targets, ()
    # Other measures are left out of so many models, and without any there is no ranking.
    assert space.similarity is not None
    maps, images = [each.maps.values for each in space.examined], space.probes.kind == IMAGE
    near = many.neighbours(space.similarity, maps, SHORTLIST, images=images)
    columns = many.shortlists(space.similarity, maps, near, images=images)
    targets = tuple(
        ranking.rank_columns(
            [column],
            space.similarity.names,
            place,
            seed=options.seed,
            hashes=hashes,
            plain=not space.similarity.centred,
        )
        for place, column in enumerate(columns)
    )
    said = (
        f"{len(hashes)} models on {len(space.probes.values)} probes are too many to rank all as "
        f"sources of all: each target has its {SHORTLIST} closest, --target ranks all of one"
    )
    return targets, (said, *crowding(near))


def crowding(near: Neighbours) -> tuple[str, ...]:
    """Returns what is to be said of models that may have nearer ones than were found."""
    count = int(np.sum(near.crowded))
    if not count:
        return ()
    noun = "model has" if count == 1 else "models have"
    return (
        f"{count} {noun} more others about as near as the nearest than were looked at: of those "
        "that are nearest, some may be missing",
    )
