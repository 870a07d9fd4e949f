"""Models as a map: how alike all are, which groups they form, where they stand."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onnxattr.errors import RankingError, UsageError
from onnxattr.graph.find import find_models
from onnxattr.pipeline.adapters import is_source
from onnxattr.pipeline.export import sources_of
from onnxattr.pipeline.figures import FEWEST, drawn_of, gallery_of
from onnxattr.pipeline.job import versions
from onnxattr.pipeline.options import ATTRIBUTION, Options, Progress, Silent
from onnxattr.pipeline.space import ProbeSource, build_space, warnings_of
from onnxattr.registry import closest
from onnxattr.space import many
from onnxattr.space.tree import LINKAGES
from onnxattr.types import IMAGE, Failure, ModelMap, Neighbour, Similarity

#: Nearest models that are kept of each.
NEAREST = 10


def map_models(
    models: str | Path | Sequence[str | Path],
    *,
    probes: ProbeSource = None,
    linkage: str = "single",
    groups: int | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ModelMap:
    """Returns how alike models are, as a matrix, a tree, points in the plane, and the nearest.

    A model that cannot be used is left out, with the reason in `ModelMap.failures`. Of more than
    5,000 models there are the nearest of each, and nothing else.

    Args:
        models: One or several files, directories or glob patterns.
        probes: One or several image files and directories, one file of arrays, what `load_probes`
            returned, or None for the built-in images.
        linkage: How far apart two groups of the tree are: `single`, by their nearest pair, as in
            the paper; `average`; or `ward`.
        groups: Number of groups that the tree is cut into; None for none.
        options: What decides the numbers.
        progress: Told of what is going on.
        stop: Ends the work when another thread or a signal handler sets it; what is finished is
            mapped, and `ModelMap.unfinished` says what is not.

    Raises:
        RankingError: Fewer than three models are left.
        UsageError: An option, the linkage or the number of groups is wrong.
        ProbeError: There are no usable probes.
        DeviceError: The device is not there.

    Example:
        >>> import onnxattr
        >>> options = onnxattr.Options(limit=8)
        >>> result = onnxattr.map_models("samples/models/rgb2*.onnx", groups=2, options=options)
        >>> first = result.clusters[0]
        >>> [m.name for m, k in zip(result.models, result.clusters, strict=True) if k == first]
        ['rgb2depth-keras', 'rgb2depth-torch']
        >>> result.nearest[0][0].name
        'rgb2depth-torch'
    """
    options, progress = options or Options(), progress or Silent()
    started = time.perf_counter()
    if linkage not in LINKAGES:
        raise UsageError(f"there is no linkage `{linkage}`", hint=closest(linkage, LINKAGES))
    if options.measures != (ATTRIBUTION,):
        raise UsageError(
            f"a map is drawn of attribution, and not by `{','.join(options.measures)}`",
            hint="`onnxattr rank` takes other measures",
        )
    if groups is not None and groups < 1:
        raise UsageError(f"`{groups}` groups cannot be made")
    found, failures = find_models(models, is_source)
    for failure in failures:
        progress.failed(failure)
    if len(found) < FEWEST:
        noun = "model is" if len(found) == 1 else "models are"
        raise _too_few(len(found), f"{noun} given", failures)
    with sources_of(found, failures, options, progress, stop) as sources:
        space = build_space(
            sources, failures, probes, options, progress, stop, compare=many.compare
        )
    images = space.probes.kind == IMAGE
    kept = _connected(space.similarity)
    for number in sorted(set(range(len(space.summaries))) - set(kept)):
        lost = Failure(space.summaries[number].name, _unconnected(space.similarity, number), "")
        failures.append(lost)
        progress.failed(lost)
    if len(kept) < FEWEST:
        done = "finished before the interruption" if space.unfinished else "usable"
        raise _too_few(len(kept), f"of {len(found)} models {done}", failures)
    if groups is not None and groups > len(kept):
        raise UsageError(f"`{groups}` groups cannot be made of `{len(kept)}` models")
    similarity = _part(space.similarity, kept)
    names = tuple(space.summaries[number].name for number in kept)
    maps = [space.examined[number].maps for number in kept]
    values = [one.values for one in maps]
    near = many.neighbours(similarity, values, NEAREST, images=images)
    drawn = drawn_of(similarity.matrix, names, linkage, groups)
    return ModelMap(
        models=tuple(
            dataclasses.replace(space.summaries[number], path=str(found[name]))
            for number, name in zip(kept, names, strict=True)
        ),
        similarity=similarity,
        **drawn,
        nearest=tuple(
            tuple(
                Neighbour(names[other], float(value))
                for other, value in zip(others, values, strict=True)
                if np.isfinite(value)
            )
            for others, values in zip(near.models, near.similarity, strict=True)
        ),
        failures=tuple(failures),
        warnings=(
            *warnings_of(space, options, "map"),
            *_warnings(names, drawn["clusters"], groups),
        ),
        settings={**space.settings, "linkage": linkage, "clusters": groups},
        versions=versions(),
        unfinished=space.unfinished,
        stored=tuple(name for name in space.stored if name in set(names)),
        seconds={"total": time.perf_counter() - started, **space.seconds},
        gallery=gallery_of(maps, space.probes),
    )


def _connected(similarity: Similarity) -> list[int]:
    """Returns the models of which every two have a similarity: who lacks most goes first."""
    kept = list(range(len(similarity.names)))
    missing = np.isnan(similarity.matrix)
    while similarity.matrix.size:
        counts = missing[np.ix_(kept, kept)].sum(axis=1)
        if not counts.max(initial=0):
            break
        # Of those that lack as many, the last by name: the same models, however they are ordered.
        kept.remove(max(kept, key=lambda i: (counts[kept.index(i)], similarity.names[i])))
    return kept


def _unconnected(similarity: Similarity, number: int) -> str:
    other = similarity.names[int(np.argmax(np.isnan(similarity.matrix[number])))]
    return f"it has no similarity with `{other}`: they share no probe with a usable map"


def _part(similarity: Similarity, kept: Sequence[int]) -> Similarity:
    """Returns the similarities of some of the models."""
    if len(kept) == len(similarity.names):
        return similarity
    some = np.ix_(kept, kept)
    return dataclasses.replace(
        similarity,
        names=tuple(similarity.names[number] for number in kept),
        matrix=similarity.matrix[some],
        per_probe=similarity.per_probe[some],
        unusable=tuple(similarity.unusable[number] for number in kept),
    )


def _too_few(count: int, what: str, failures: Sequence[Failure]) -> RankingError:
    hint = "`onnxattr compare` takes two" if count == 2 else ""
    return RankingError(f"{count} {what}, and a map needs three", hint=hint, failures=failures)


def _warnings(names: Sequence[str], made: Sequence[int], asked: int | None) -> tuple[str, ...]:
    if len(names) > many.MODELS:
        return (
            f"{len(names)} models are too many for a matrix, a tree and a picture: from "
            f"{many.MODELS + 1} on there are the {NEAREST} nearest of each",
        )
    if asked is not None and max(made) < asked:
        noun = "group is" if max(made) == 1 else "groups are"
        return (f"{max(made)} {noun} made and not {asked}: some groups are equally far apart",)
    return ()
