"""How a suspect is to be fed to be compared with a reference: colours and ranges are tried.

The same is tried on models that are known to be independent, so that the search itself makes no
suspect look closer than they are.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.errors import OnnxattrError
from onnxattr.graph.options import COLORS, InputOptions
from onnxattr.graph.range import DEVIATIONS, MEANS, RANGES
from onnxattr.lineage.twins import UNLIKE
from onnxattr.pipeline.messages import Source
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.watch import watch_all
from onnxattr.space.measures import rsa
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.ranks import Ranked
from onnxattr.space.measures.table import REPRESENTATION
from onnxattr.space.similarity import mean_cosines
from onnxattr.types import IMAGE, Failure, Otherwise, Probes

#: Probes on which ways to feed a model are told apart.
PROBES = 16

#: Probes that RSA takes at least.
_FEWEST = 4

#: Another way must be better than what is stated, or assumed, by so much RSA.
_BETTER = 0.02

#: And reach so much: of models that do not do the same, whichever way is the best is chance.
_LEAST = UNLIKE

#: The model as it would be fed by itself.
AS_IT_IS = 0


def candidates(given: InputOptions) -> tuple[InputOptions, ...]:
    """Returns ways to feed a model: as it is, then each order of colours with each range.

    Args:
        given: What the user says of the input; colours and ranges are tried all the same, since
            whoever disguises a model may change them.
    """
    ranges = [dataclasses.replace(given, range=r, mean=(0.0,), std=(1.0,)) for r in RANGES]
    standard = dataclasses.replace(given, range=(0.0, 1.0), mean=MEANS, std=DEVIATIONS)
    ways = [dataclasses.replace(way, color=c) for c in COLORS for way in (*ranges, standard)]
    return (given, *ways)


@dataclass(frozen=True)
class Searched:
    """What came of feeding models in other ways.

    Attributes:
        ways: How to feed each model to be compared with each reference, by the reference's name and
            the model's.
        sensitivity: By model, what becomes of it in each way, its own first; only of models that
            could be run, and whose way makes a difference to ONNX Runtime.
    """

    ways: Mapping[tuple[str, str], InputOptions]
    sensitivity: Mapping[str, tuple[Otherwise, ...]] = field(default_factory=dict)


def search_inputs(
    sources: Mapping[str, Source],
    references: Mapping[str, Float32],
    probes: Probes,
    options: Options,
    stop: threading.Event,
    leave_out: Callable[[Failure], None],
) -> Searched:
    """Returns how to feed each model to be compared with each reference, and what hangs on it.

    It is the way in which the model's representation is the most like the reference's by RSA on the
    first probes, and the model's own way unless another is better by .02 and reaches .5. Models
    that cannot be run have their own way, and so have all where probes are no images, or too few.

    Args:
        sources: Models by name.
        references: Representations of the references on the probes, by name, [probe, …].
        probes: The probes.
        options: What decides the numbers.
        stop: Ends the work when it is set.
        leave_out: Told of models that cannot be run.
    """
    chosen = dict.fromkeys(((r, name) for r in references for name in sources), options.input)
    few = _first(probes)
    if probes.kind != IMAGE or len(few.values) < _FEWEST:
        return Searched(chosen)
    ways = candidates(options.input)
    seen = watch_all(
        sources, dict.fromkeys(sources, ways), few, options, stop, leave_out, layers=False
    )
    known = {r: _ranked(r, values[: len(few.values)]) for r, values in references.items()}
    sensitivity = {}
    for name, observation in seen.items():
        made = [_ranked(name, way.units.get(REPRESENTATION)) for way in observation.ways]
        for reference, ranks in known.items():
            chosen[reference, name] = ways[_best(ranks, made)]
        sensitivity[name] = tuple(
            _otherwise(in_words(way, options.input), ranks, made[AS_IT_IS], known)
            for way, ranks in zip(ways, made, strict=True)
            if ranks is not None
        )
    return Searched(chosen, sensitivity)


def in_words(way: InputOptions, own: InputOptions) -> str:
    """Returns how a model was fed if not by its own way: `BGR, 0 to 255`; '' for its own."""
    if way == own:
        return ""
    low, high = way.range or (0.0, 1.0)
    standard = ", standardised" if way.mean and set(way.mean) != {0.0} else ""
    return f"{way.color}, {low:g} to {high:g}{standard}"


def _otherwise(
    fed: str, ranks: Ranked | None, itself: Ranked | None, references: Mapping[str, Ranked | None]
) -> Otherwise:
    alike = {name: value for name, r in references.items() if (value := _alike(r, ranks)) == value}
    nearest = max(sorted(alike), key=lambda name: alike[name], default="")
    return Otherwise(fed, _alike(itself, ranks), nearest, alike.get(nearest, float("nan")))


def _best(reference: Ranked | None, made: Sequence[Ranked | None]) -> int:
    """Returns which way is the closest to a reference."""
    values = [_alike(reference, each) for each in made]
    known = [v for v in values if not np.isnan(v)]
    if not known or max(known) < _LEAST:
        return AS_IT_IS
    if not np.isnan(values[AS_IT_IS]) and values[AS_IT_IS] >= max(known) - _BETTER:
        return AS_IT_IS
    return values.index(max(known))


def _alike(one: Ranked | None, other: Ranked | None) -> float:
    if one is None or other is None:
        return float("nan")
    return float(mean_cosines(rsa.compare(one, other)))


def _ranked(name: str, values: Float32 | None) -> Ranked | None:
    """Returns a representation as RSA compares it; None where it can make nothing of it."""
    if values is None:
        return None
    try:
        return rsa.prepare(Evidence(name=name, representation=values))
    except OnnxattrError:
        return None


def _first(probes: Probes) -> Probes:
    some = slice(0, PROBES)
    return dataclasses.replace(probes, values=probes.values[some], names=probes.names[some])
